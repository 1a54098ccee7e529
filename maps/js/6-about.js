// The legend, which is also the switch of the layers, and what the reader must know of the map.
function keyLine(mark, words) { return el('div', { class: 'key' }, mark, words); }
function swatch(attributes) { return svg('svg', { width: 22, height: 14, 'aria-hidden': 'true' }, svg('rect', { x: 1, y: 1, width: 20, height: 12, ...attributes })); }
function hatchSwatch() {
  const lines = [-8, -2, 4, 10, 16].map((x) => svg('line', { x1: x, y1: 13, x2: x + 12, y2: 1, stroke: data.palette.blind, 'stroke-width': 1.5 }));
  return svg('svg', { width: 22, height: 14, viewBox: '1 1 20 12', 'aria-hidden': 'true' }, svg('rect', { x: 1, y: 1, width: 20, height: 12, fill: '#eef1f4', stroke: data.palette.blind }), ...lines);
}
const KEYS = {
  cases: () => [...kindsHere.map((kind) => keyLine(symbol(kind, '', 22), t('kind_' + kind))), el('p', { class: 'note' }, t('number_meaning'))],
  cells: () => [...(data.cells.some((one) => one.cluster) ? data.palette.hotspots : []).map((one, i) =>
    keyLine(swatch({ fill: one.colour, 'fill-opacity': 0.6, stroke: '#7a2e00' }), t('hot_' + (i + 1)))),
  data.cells.some((one) => !one.cluster) ? keyLine(swatch({ fill: 'none', stroke: '#8a5a2b', 'stroke-dasharray': '2 3' }), t('hot_none')) : null],
  blind: () => [keyLine(hatchSwatch(), data.blindShare > 0 ? t('unseen_share', { share: percent(data.blindShare) }) : t('unseen_none'))],
  roads: () => [keyLine(svg('svg', { width: 22, height: 14, 'aria-hidden': 'true' }, svg('line', { x1: 1, x2: 21, y1: 7, y2: 7, stroke: '#3d3325', 'stroke-width': 4.4 }),
    svg('line', { x1: 1, x2: 21, y1: 7, y2: 7, stroke: '#fffaf0', 'stroke-width': 2.4 })), t('road_key'))],
  licences: () => [keyLine(swatch({ fill: 'none', stroke: '#111a22', 'stroke-width': 1.8 }), t('licence_in_force')),
    data.licences.some((one) => !one.valid) ? keyLine(swatch({ fill: 'none', stroke: '#a11d1d', 'stroke-width': 1.8, 'stroke-dasharray': '6 3' }), t('licence_expired', { date: data.asOf })) : null],
  coverage: () => layers.coverage.on ? data.palette.coverage.map((one) => keyLine(swatch({ fill: one.colour }), one.up_to ? t('coverage_up_to', { area: area(one.up_to) }) : t('coverage_over'))) : [],
};
function buildLegend() {
  const lines = ['cases', 'cells', 'licences', 'mines', 'jurisdictions', 'roads', 'blind', 'coverage', 'background'].filter((name) => layers[name].any || name === 'blind')
    .flatMap((name) => {
      // blind ground is never hidden: an empty map must not pass for a clean one
      const fixed = name === 'blind';
      const box = el('input', { type: 'checkbox', 'data-layer': name, checked: layers[name].on || fixed, disabled: fixed, on: { change: (event) => {
        layers[name].on = event.target.checked;
        stack();
        if (name === 'coverage') buildLegend();
      } } });
      const keys = name in KEYS ? KEYS[name]().filter(Boolean) : [];
      return [el('label', {}, box, t('layer_' + name)), ...keys];
    });
  byId('legend-body').replaceChildren(...lines);
}

function part(word, ...content) { return el('section', {}, el('h2', {}, t(word)), ...content); }
function list(items) { return el('ul', {}, ...items.map((item) => el('li', {}, item))); }
function table(heads, rows) {
  return el('table', {}, el('thead', {}, el('tr', {}, ...heads.map((head) => el('th', { scope: 'col' }, head)))),
    el('tbody', {}, ...rows.map((cells) => el('tr', {}, ...cells.map((cell) => el('td', {}, cell))))));
}
function unseen() {
  const lines = [];
  if (!data.coverageKnown) lines.push(t('unseen_all'));
  else if (data.blindShare > 0) lines.push(t('unseen_share', { share: percent(data.blindShare) }), t('unseen_hatch'));
  else lines.push(t('unseen_none'));
  if (data.typicalSite !== null) lines.push(t('unseen_smallest', { area: area(data.typicalSite) }));
  return list([...lines, t('unseen_small'), ...data.remarks]);
}
function aboutParts() {
  const caution = part('caution_title', list([1, 2, 3, 4].map((i) => t('caution_' + i))));
  caution.className = 'caution';
  const sources = data.sources.length
    ? table(['source_name', 'source_sensor', 'source_first', 'source_last', 'source_dates'].map((word) => t(word)), data.sources.map((one) =>
      [one.name, t('sensor_' + one.sensor), one.first || '–', one.last || '–', one.dates === null ? '–' : number(one.dates)]))
    : el('p', {}, t('no_sources'));
  const reference = [el('p', {}, t('crs_word') + ': ' + data.crs.name + (data.crs.code ? ' (' + data.crs.code + ')' : '')), el('p', {}, t('crs_map'))];
  if (data.cellSide) reference.push(el('p', {}, t('cells_note', { side: number(data.cellSide) + ' ' + t('m') }) + ' ' + t('trend_over_' + data.trendOver)));
  if (data.version) reference.push(el('p', {}, t('version') + ': ' + data.version));
  return [caution, part('unseen_title', unseen()), part('sources_title', sources),
    part('kind', list(Object.keys(data.palette.kinds).map((kind) => t('kind_' + kind) + ': ' + t('means_' + kind)))),
    part('reference_title', ...reference), part('keys_title', el('p', {}, t('keys_text')))];
}
function buildAbout() { byId('pane-about').replaceChildren(...aboutParts()); }

const PAPER_ROWS = 1000;
// Paper: the map as it is on screen, then the table of the cases shown, then the small print.
function buildPaper() {
  const heads = ['number', 'cases', 'kind', 'probability', 'mine', 'licence', 'jurisdiction', 'evidence_period', 'area', 'wgs84', 'status'];
  const rows = shown.slice(0, PAPER_ROWS).map((one) => [one.rank, one.id, t('kind_' + one.kind), percent(one.p), one.mineName || one.mine || '–', one.licence || '–',
    one.jurisdiction ? jurisdictionName(one.jurisdiction) : '–', one.first + ' – ' + one.last, one.area > 0 ? area(one.area) : '–',
    one.lon.toFixed(6) + ', ' + one.lat.toFixed(6), t('status_' + one.status)].map(String));
  const rest = shown.length > rows.length ? el('p', {}, t('left_out_print', { shown: number(rows.length), total: number(shown.length) })) : '';
  byId('paper').replaceChildren(rest, shown.length ? table(heads.map((word) => t(word)), rows) : el('p', {}, byId('count').textContent),
    el('div', { class: 'about' }, ...aboutParts().slice(0, -1)));
}

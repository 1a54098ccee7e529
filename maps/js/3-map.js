// The map: ground, registers, hot spots, blind ground, cases. One canvas, in one fixed order from bottom to top.
const map = L.map('map', { preferCanvas: true, zoomControl: false, attributionControl: false, zoomSnap: 0.25, maxZoom: 19 });
const renderer = L.canvas({ padding: 0.2, tolerance: 4 });
map.options.renderer = renderer;
L.control.zoom({ position: 'topleft', zoomInTitle: '+', zoomOutTitle: '−' }).addTo(map);
L.control.scale({ position: 'bottomleft', imperial: false, maxWidth: 140 }).addTo(map);
const North = L.Control.extend({
  options: { position: 'topleft' },
  onAdd: function () {
    const arrow = svg('svg', { width: 14, height: 18, viewBox: '0 0 14 18', 'aria-hidden': 'true' },
      svg('path', { d: 'M7 0 L13 17 L7 13 L1 17 Z', fill: '#1c2733' }));
    return el('div', { class: 'north', role: 'img', 'data-label': 'north' }, arrow, 'N');
  },
});
new North().addTo(map);

// Outlines come as whole numbers of 1e-6 degrees: the first point, then steps from point to point.
function unpackLine(flat) {
  const points = [];
  let lon = 0;
  let lat = 0;
  for (let i = 0; i < flat.length; i += 2) {
    lon += flat[i];
    lat += flat[i + 1];
    points.push([lat / 1e6, lon / 1e6]);
  }
  return points;
}
function unpack(polygons) { return polygons.map((rings) => rings.map(unpackLine)); }
function outline(polygons, options) { return L.polygon(unpack(polygons), { smoothFactor: 0.6, ...options }); }
function caption(title, ...lines) {
  return el('div', {}, el('b', {}, title), ...lines.filter(Boolean).map((line) => el('div', {}, line)));
}
// `drop`: pixels below the northern edge; without it the word stands in the middle.
function label(polygons, text, font, ink, drop) {
  const box = L.latLngBounds(unpack(polygons).flat(2));
  const at = drop ? [box.getNorth(), box.getCenter().lng] : box.getCenter();
  return new Label(at, { text, font, ink, room: box, drop: drop || 0 });
}

const BASE_FONT = '12px system-ui, "Microsoft YaHei", "PingFang SC", "Noto Sans CJK SC", sans-serif';
const SMALL_ROADS = ['track', 'path', 'service', 'footway'];
const layers = {};
function addLayer(name, members, on) { layers[name] = { group: L.layerGroup(members), on: on && members.length > 0, any: members.length > 0 }; }

function hotClass(z) {
  const classes = data.palette.hotspots;
  return Math.max(0, classes.filter((one) => z >= one.from).length - 1);
}
function licenceCaption(one) {
  const period = dated(one.from) + ' – ' + (one.to ? dated(one.to) : t('open_end'));
  return caption(t('licence') + ' ' + one.no, t('holder') + ': ' + (one.holder || t('unknown')),
    [one.mineral, one.method ? t('method_' + one.method) : ''].filter(Boolean).join(' · '),
    t('validity') + ': ' + period, one.applied ? t('renewal', { date: dated(one.applied) }) : '',
    one.valid ? '' : t('licence_expired', { date: dated(data.asOf) }));
}
function mineCaption(one) {
  return caption(one.name || one.id, t('mine') + ' ' + one.id, t('operator') + ': ' + (one.operator || t('unknown')),
    one.method ? t('method_' + one.method) : '', one.licence ? t('licence') + ' ' + one.licence : '');
}
function cellCaption(one) {
  const p = one.p === null ? '–' : one.p < 0.0001 ? '< 0.0001' : number(one.p, 4);
  return caption(t('cell'), t('cell_expected') + ': ' + number(one.expected, 2),
    t('cell_z') + ': ' + (one.z === null ? '–' : number(one.z, 2)), t('cell_p') + ': ' + p,
    t('cell_significant') + ': ' + t(one.significant ? 'yes' : 'no'), t('cell_cases') + ': ' + number(one.cases),
    one.cases < 2 ? t('cell_alone') : t('cell_trend') + ': ' + t('trend_' + one.trend));
}

function buildLayers() {
  const images = [];
  if (data.background) images.push(L.imageOverlay(data.background.src, data.background.bounds, { className: 'ground' }));
  addLayer('background', images, true);
  const graded = data.coverageImage ? [L.imageOverlay(data.coverageImage.src, data.coverageImage.bounds, { opacity: 0.75 })] : [];
  addLayer('coverage', graded, false);
  addLayer('blind', data.blind.map((one) => outline(one, { hatch: true, interactive: false })), true);
  addLayer('cells', data.cells.map((one) => outline(one.shape, {
    stroke: true, weight: one.cluster ? 1 : 0.8, color: one.cluster ? '#7a2e00' : '#8a5a2b', opacity: 0.7,
    dashArray: one.cluster ? null : '2 4', fillOpacity: one.cluster ? 0.42 : 0,
    fillColor: data.palette.hotspots[hotClass(one.z || 0)].colour,
  }).bindTooltip(() => cellCaption(one), { sticky: true })), true);
  const borders = data.jurisdictions.map((one) => outline(one.shape, {
    color: data.palette.jurisdiction, weight: 2, dashArray: '9 4 2 4', fill: false, interactive: false }));
  const names = data.jurisdictions.length > 1
    ? data.jurisdictions.map((one) => label(one.shape, one.name || one.code, '600 13px' + BASE_FONT.slice(4), data.palette.jurisdiction)) : [];
  addLayer('jurisdictions', borders.concat(names), true);
  const ways = data.roads.map((one) => ({ points: one.lines.map(unpackLine), small: SMALL_ROADS.includes(one.class) }));
  addLayer('roads', ways.map((way) => L.polyline(way.points, { color: '#3d3325', weight: way.small ? 2.6 : 4.4, opacity: 0.55, interactive: false }))
    .concat(ways.map((way) => L.polyline(way.points, { color: '#fffaf0', weight: way.small ? 1.3 : 2.6, interactive: false }))), true);
  const licences = data.licences.flatMap((one) => [
    outline(one.shape, { color: '#ffffff', weight: 4.5, opacity: 0.85, fill: false, interactive: false }),
    outline(one.shape, { color: one.valid ? '#111a22' : '#a11d1d', weight: 1.8, dashArray: one.valid ? null : '7 4', fillOpacity: 0.001 })
      .bindTooltip(() => licenceCaption(one), { sticky: true }),
    label(one.shape, one.no, BASE_FONT, one.valid ? '#111a22' : '#a11d1d', 11),
  ]);
  addLayer('licences', licences, true);
  addLayer('mines', data.mines.flatMap((one) => [
    one.shape ? outline(one.shape, { color: data.palette.mine, weight: 1, fillOpacity: 0.15, interactive: false }) : null,
    new Pit([one.lat, one.lon], { radius: 8 }).bindTooltip(() => mineCaption(one)),
  ].filter(Boolean)), true);
  addLayer('cases', [], true);
  layers.cases.any = data.cases.length > 0;
  layers.cases.on = true;
}

const drawn = new Map();
const crowd = new Crowd();
crowd.on('click', () => openCase(crowd.under.id));
function buildCases() {
  const many = data.cases.length > 400;
  for (const one of data.cases.slice(0, data.full)) {
    const parts = [];
    const colour = look(one.kind).colour;
    if (one.shape) {
      // among thousands a white edge is not seen, and costs as much as the outline
      if (!many) parts.push(outline(one.shape, { color: '#ffffff', weight: 5, opacity: 0.9, fill: false, interactive: false }));
      parts.push(outline(one.shape, { color: colour, weight: 2.4, fillColor: colour, fillOpacity: 0.25, bubblingMouseEvents: false })
        .on('click', () => openCase(one.id)));
    }
    const site = new Site([one.lat, one.lon], { radius: many ? 7 : 11, kind: one.kind, rank: one.rank, bubblingMouseEvents: false })
      .on('click', () => openCase(one.id))
      .bindTooltip(() => caption(t('kind_' + one.kind) + ' · ' + percent(one.p), one.id), { direction: 'top', offset: [0, -10] });
    drawn.set(one.id, { parts, site });
  }
}

// Bottom to top. Taking all off and putting them back is what keeps the order of one canvas.
const ORDER = ['background', 'coverage', 'blind', 'roads', 'cells', 'jurisdictions', 'licences', 'mines', 'cases'];
function stack() {
  for (const name of ORDER) layers[name].group.remove();
  for (const name of ORDER) if (layers[name].on) layers[name].group.addTo(map);
}
function drawCases(shown) {
  const group = layers.cases.group;
  group.clearLayers();
  const full = shown.filter((one) => drawn.has(one.id));
  if (data.full < data.cases.length) {
    crowd.show(shown.filter((one) => !drawn.has(one.id)));
    group.addLayer(crowd);
  }
  for (const one of full) for (const part of drawn.get(one.id).parts) group.addLayer(part);
  // the most probable last, so that it lies on top
  for (let i = full.length - 1; i >= 0; i -= 1) group.addLayer(drawn.get(full[i].id).site);
}
function fitDistrict() {
  const legend = byId('legend').open ? byId('legend').offsetWidth + 12 : 0;
  map.fitBounds(data.bounds, { paddingTopLeft: [8, 8], paddingBottomRight: [8 + legend, 8], animate: false });
}

// One case in full: what, where, how sure, and every term of its evidence.
let chosen = null;
let opener = null;
const caseById = new Map(data.cases.map((one) => [one.id, one]));

function openCase(id, fromList) {
  const one = caseById.get(id);
  if (!one) return;
  mark(chosen, false);
  chosen = id;
  mark(id, true);
  if (fromList) opener = document.activeElement;
  const card = byId('card');
  card.replaceChildren(cardHead(one), cardBody(one));
  card.setAttribute('aria-label', t('case_word', { id: id }));
  if (card.hidden) foldLegend();
  card.hidden = false;
  card.scrollTop = 0;
  for (const button of document.querySelectorAll('#case-list button')) {
    if (button.dataset.case === id) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
  bring(one, fromList);
  card.querySelector('.shut').focus({ preventScroll: true });
}
function closeCase() {
  if (chosen === null) return;
  mark(chosen, false);
  const back = [...document.querySelectorAll('#case-list button')].find((button) => button.dataset.case === chosen);
  chosen = null;
  byId('card').hidden = true;
  byId('legend').open = legendWasOpen;
  for (const button of document.querySelectorAll('#case-list button[aria-current]')) button.removeAttribute('aria-current');
  (back || opener || byId('map')).focus({ preventScroll: true });
}
// The card and the legend together would hide the map between them.
let legendWasOpen = false;
function foldLegend() {
  legendWasOpen = byId('legend').open;
  if (map.getSize().x < 1250) byId('legend').open = false;
}
function mark(id, on) {
  const found = drawn.get(id);
  if (!found) {
    crowd.options.chosen = on ? caseById.get(id) : null;
    if (crowd._map) crowd.redraw();
    return;
  }
  found.site.options.chosen = on;
  // a site may lie in several parts: all of them stand out
  for (const part of found.parts) if (part.options.interactive) part.setStyle({ weight: on ? 4.5 : 2.4, fillOpacity: on ? 0.4 : 0.25 });
  if (found.site._map) found.site.redraw();
}
// Keep the site in the part of the map that the card leaves free.
function bring(one, closer) {
  const phone = window.matchMedia('(max-width: 820px)').matches;
  if (phone) byId('map').scrollIntoView({ block: 'start' });
  const size = map.getSize();
  const zoom = closer ? Math.max(map.getZoom(), Math.min(15, map.getBoundsZoom(data.bounds) + 1.5)) : map.getZoom();
  const hidden = phone ? [0, Math.max(0, size.y - window.innerHeight * 0.34)] : [-Math.min(490, size.x * 0.5), 0];
  const at = map.project([one.lat, one.lon], zoom).add([hidden[0] / 2, hidden[1] / 2]);
  const inView = map.latLngToContainerPoint([one.lat, one.lon]);
  const free = phone ? inView.y < size.y - hidden[1] : inView.x > -hidden[0];
  if (closer || !free) map.setView(map.unproject(at, zoom), zoom, { animate: false });
}

function cardHead(one) {
  return el('header', {}, symbol(one.kind, one.rank, 34),
    el('h2', {}, t('kind_' + one.kind), ...badges(one).filter(Boolean)),
    el('button', { type: 'button', class: 'shut', 'aria-label': t('close'), title: t('close'), on: { click: closeCase } }, '×'),
    el('p', { class: 'id' }, one.id));
}
function cardBody(one) {
  const bar = el('i', {});
  bar.style.width = one.p * 100 + '%';
  const at = shown.indexOf(one);
  const step = (to, word) => el('button', { type: 'button', class: 'quiet', disabled: !shown[to], on: { click: () => openCase(shown[to].id, true) } }, t(word));
  return el('div', { class: 'body' },
    el('p', { class: 'chance-line' }, el('strong', {}, percent(one.p)), el('span', {}, likely(one.p))),
    el('div', { class: 'bar', role: 'presentation' }, bar),
    el('p', { class: 'means' }, t('means_' + one.kind)),
    facts(one), el('h3', {}, t('evidence')), ...evidence(one),
    el('div', { class: 'row-actions' }, step(at - 1, 'previous'), step(at + 1, 'next'),
      el('button', { type: 'button', class: 'quiet', on: { click: () => zoomTo(one) } }, t('zoom_to'))));
}
function zoomTo(one) {
  const points = one.shape ? unpack(one.shape).flat(2) : [[one.lat, one.lon], ...(one.pieces || []).flatMap((piece) => rings(piece).flat())];
  map.fitBounds(L.latLngBounds(points).pad(0.6), { maxZoom: 17, animate: false });
  bring(one, false);
}
function facts(one) {
  const list = el('dl', {});
  const add = (word, ...content) => { if (content[0]) list.append(el('dt', {}, t(word)), el('dd', {}, ...content)); };
  add('mine', one.mineName || one.mine, one.mineName ? el('small', {}, one.mine) : null);
  add('operator', one.operator);
  add('licence', one.licence);
  add('jurisdiction', one.jurisdiction ? jurisdictionName(one.jurisdiction) : null);
  add('evidence_period', dated(one.first) + ' – ' + dated(one.last));
  add('first_reported', one.reported ? dated(one.reported) : null);
  add('area', one.area > 0 ? area(one.area) : null);
  add('area_outside', one.outside !== null ? area(one.outside) : null);
  add('depth', one.depth !== null ? number(one.depth) + ' ' + t('m') : null);
  add('status', t('status_' + one.status));
  const wgs = one.lon.toFixed(6) + ', ' + one.lat.toFixed(6);
  add('coordinates', el('span', {}, wgs), copyButton(wgs), el('small', {}, t('wgs84')),
    ...(one.x === undefined ? [] : [el('span', {}, one.x.toFixed(1) + ', ' + one.y.toFixed(1)), el('small', {}, data.crs.name)]),
    ...(one.gcj ? [el('span', {}, one.gcj[0].toFixed(6) + ', ' + one.gcj[1].toFixed(6)), el('small', {}, t('gcj02'))] : []));
  add('navigate', ...ways(one));
  return one.shape || one.bare || (one.pieces && one.pieces.length) ? list : el('div', {}, list, el('p', { class: 'note' }, t('at_mine')));
}
// Links for whoever drives there: followed only by a tap, and only then is a place told to anyone. The address is put
// together here, so that nothing in the file looks like something to load.
function ways(one) {
  const link = (href, word) => el('a', { class: 'way', href: href, rel: 'noreferrer noopener', target: '_blank' }, t(word));
  const at = (lon, lat) => lon.toFixed(6) + ',' + lat.toFixed(6);
  const found = [link('geo:' + one.lat.toFixed(6) + ',' + one.lon.toFixed(6), 'way_geo')];
  if (one.gcj) {
    const amap = ['https:', '', 'uri.amap.com', 'marker'].join('/');
    found.push(link(amap + '?position=' + at(...one.gcj) + '&coordinate=gaode&name=' + encodeURIComponent(one.id), 'way_amap'));
  }
  return [...found, el('small', {}, t(one.gcj ? 'way_note_gcj' : 'way_note'))];
}
function copyButton(text) {
  if (!navigator.clipboard) return null;
  const button = el('button', { type: 'button', class: 'quiet copy' }, t('copy'));
  button.addEventListener('click', () => navigator.clipboard.writeText(text).then(() => { button.textContent = t('copied'); }, () => {}));
  return button;
}
function evidence(one) {
  if (one.tile) {
    fetchEvidence(one).catch(() => says('tiles_broken'));
    return [el('p', { class: 'note' }, t('tiles_evidence'))];
  }
  if (!one.evidence.length) return [el('p', { class: 'note' }, one.bare ? t('bare_note', { full: number(data.full) }) : t('no_evidence'))];
  const terms = one.evidence.map((term) => el('div', { class: 'term ' + (term.nats < 0 ? 'against' : 'for') },
    el('p', {}, el('span', { class: 'who' }, t('detector_' + term.detector)), ' ', el('span', { class: 'strength' }, '· ' + strength(term.nats))),
    el('p', {}, term.says), el('p', { class: 'odds' }, odds(term.nats)),
    ...(term.series ? [plot(term.series), plotKey(term.series)] : term.seriesLeftOut ? [el('p', { class: 'note' }, t('plot_left_out'))] : [])));
  if (one.evidence.some((term) => term.nats < 0)) terms.push(el('p', { class: 'note' }, t('against_note')));
  if (one.pieces) terms.push(el('p', { class: 'note' }, t('tiles_plots', { full: number(data.full) })));
  return terms;
}

// The plot's range: all that is expected, and what was observed but for a few strays.
function scaleOf(series) {
  const known = (name) => (series[name] || []).filter((value) => value !== null);
  const observed = known('observed').sort((a, b) => a - b);
  const at = (share) => observed[Math.round(share * (observed.length - 1))];
  const middle = observed.length > 20 ? [at(0.03), at(0.97)] : [observed[0], observed[observed.length - 1]];
  const values = [...middle, ...known('expected'), ...known('low'), ...known('high')];
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (!(high > low)) return [low - 0.5, high + 0.5];
  const margin = (high - low) * 0.06;
  return [Math.max(low - margin, Math.min(low, observed[0])), Math.min(high + margin, Math.max(high, observed[observed.length - 1]))];
}
// Observed dots against the range the registers lead one to expect.
function plot(series) {
  const width = 372;
  const height = 132;
  const box = { left: 44, right: 8, top: 8, bottom: 22 };
  const days = series.days.map((day) => day + dayOf(series.start));
  let [low, high] = scaleOf(series);
  const start = days[0];
  const span = Math.max(1, days[days.length - 1] - start);
  const x = (day) => box.left + ((day - start) / span) * (width - box.left - box.right);
  const y = (value) => box.top + ((high - Math.max(low, Math.min(high, value))) / (high - low)) * (height - box.top - box.bottom);
  const drawing = svg('svg', { class: 'plot', viewBox: '0 0 ' + width + ' ' + height, role: 'img', 'aria-label': t('plot_label') });
  const text = (px, py, anchor, words) => { const made = svg('text', { x: px, y: py, 'text-anchor': anchor }); made.textContent = words; drawing.append(made); };
  const digits = Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(high - low))));
  for (let i = 0; i <= 2; i += 1) {
    const value = low + ((high - low) * i) / 2;
    drawing.append(svg('line', { x1: box.left, x2: width - box.right, y1: y(value), y2: y(value), stroke: '#dde3e9' }));
    text(box.left - 5, y(value) + 3.5, 'end', number(value, digits));
  }
  text(box.left, height - 6, 'start', series.start);
  text(width - box.right, height - 6, 'end', textOf(days[days.length - 1]));
  const at = (name) => (series[name] || []).map((value, i) => (value === null ? null : [x(days[i]), y(value)])).filter(Boolean);
  const path = (points) => points.map(([px, py]) => px.toFixed(1) + ',' + py.toFixed(1)).join(' ');
  const lower = at('low');
  const upper = at('high');
  if (lower.length && upper.length) drawing.append(svg('polygon', { points: path(upper.concat(lower.reverse())), fill: '#cfe0ec' }));
  if (at('expected').length) drawing.append(svg('polyline', { points: path(at('expected')), fill: 'none', stroke: '#0b5c8f', 'stroke-width': 1.5, 'stroke-dasharray': '5 3' }));
  const inside = (value) => value !== null && value >= low && value <= high;
  const dots = series.observed.map((value, i) => (inside(value) ? [x(days[i]), y(value)] : null)).filter(Boolean);
  if (dots.length) drawing.append(svg('polyline', { points: path(dots), fill: 'none', stroke: '#c8500a', 'stroke-width': 0.8, opacity: 0.6 }));
  for (const [px, py] of dots) drawing.append(svg('circle', { cx: px.toFixed(1), cy: py.toFixed(1), r: 2.1, fill: '#c8500a' }));
  series.observed.forEach((value, i) => {
    if (value === null || inside(value)) return;
    // an arrow at the edge: one cloud must not flatten a year
    const [px, edge, tip] = value > high ? [x(days[i]), box.top + 5, box.top] : [x(days[i]), height - box.bottom - 5, height - box.bottom];
    drawing.append(svg('polygon', { class: 'beyond', points: path([[px - 3, edge], [px + 3, edge], [px, tip]]), fill: 'none', stroke: '#c8500a' }));
  });
  return drawing;
}
function plotKey(series) {
  const key = (word, mark) => el('span', {}, svg('svg', { width: 18, height: 10, 'aria-hidden': 'true' }, mark), t(word));
  return el('div', { class: 'plot-key' },
    key('observed', svg('circle', { cx: 9, cy: 5, r: 3, fill: '#c8500a' })),
    series.expected ? key('expected', svg('line', { x1: 0, x2: 18, y1: 5, y2: 5, stroke: '#0b5c8f', 'stroke-width': 1.5, 'stroke-dasharray': '5 3' })) : null,
    series.low ? key('range', svg('rect', { width: 18, height: 10, fill: '#cfe0ec' })) : null,
    series.observed.some((value) => value !== null && (value < scaleOf(series)[0] || value > scaleOf(series)[1]))
      ? key('beyond', svg('polygon', { points: '6,8 12,8 9,2', fill: 'none', stroke: '#c8500a' })) : null,
    series.unit ? el('span', {}, series.unit) : null);
}

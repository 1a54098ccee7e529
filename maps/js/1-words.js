// Words, numbers and dates in the reader's language.
const data = JSON.parse(document.getElementById('data').textContent);
let language = data.language;
// Cases come as rows under one head; the rest of a case is looked up here, once.
data.cases = data.cases.rows.map((row) => {
  const one = Object.fromEntries(data.cases.columns.map((name, i) => [name, row[i]]));
  [one.mineName, one.operator] = data.owners[one.mine] || [null, null];
  one.gcj = one.shift ? [one.lon + one.shift[0] / 1e6, one.lat + one.shift[1] / 1e6] : null;
  one.evidence = one.evidence.map(([detector, nats, says, series]) => ({ detector, nats, says, series: series || null, seriesLeftOut: series === false }));
  return one;
});
// Behind them, where there are thousands, the others: points with their facts, and their evidence elsewhere.
data.full = data.cases.length;
(data.points.id || []).forEach((id, i) => {
  const from = data.points;
  const word = (name) => (from[name][i] < 0 ? null : from[name + '_words'][from[name][i]]);
  const day = (name) => (from[name][i] < 0 ? null : from.days[from[name][i]]);
  const mine = word('mine');
  const [mineName, operator] = data.owners[mine] || [null, null];
  data.cases.push({
    bare: true, rank: data.full + i + 1, id, kind: word('kind'), p: from.p[i] / 1e4, mine, mineName, operator, licence: word('licence'),
    jurisdiction: word('jurisdiction'), first: day('first'), last: day('last'), reported: day('reported'), isNew: day('reported') === data.asOf,
    area: from.area[i], outside: null, depth: null, status: word('status'), lon: from.lon[i] / 1e6, lat: from.lat[i] / 1e6, gcj: null, shape: null, evidence: [],
  });
});

function t(key, values) {
  const found = data.words[key];
  const text = found ? found[language] : key;
  return values ? text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all)) : text;
}
function locale() { return language === 'zh' ? 'zh-CN' : 'en-GB'; }
function number(value, digits) {
  return value.toLocaleString(locale(), { maximumFractionDigits: digits === undefined ? 0 : digits });
}
function percent(share) {
  if (share > 0.99 && share < 1) return '> 99%';
  if (share > 0 && share < 0.01) return '< 1%';
  return Math.round(share * 100) + '%';
}
function area(m2) {
  if (m2 < 1000) return number(m2) + ' ' + t('m2');
  return number(m2 / 10000, m2 < 100000 ? 2 : 1) + ' ' + t('ha');
}
function dayOf(text) { return Math.round(Date.parse(text + 'T00:00:00Z') / 86400000); }
function textOf(day) { return new Date(day * 86400000).toISOString().slice(0, 10); }
function dated(text) {
  if (!text) return t('unknown');
  const date = new Date(text + 'T00:00:00Z');
  return date.toLocaleDateString(locale(), { timeZone: 'UTC', year: 'numeric', month: language === 'zh' ? 'long' : 'short', day: 'numeric' });
}
function likely(p) { return t('likely_' + (p >= 0.9 ? 4 : p >= 0.65 ? 3 : p >= 0.4 ? 2 : 1)); }
function strength(nats) {
  const size = Math.abs(nats);
  const level = size >= 5 ? 4 : size >= 3 ? 3 : size >= 1 ? 2 : 1;
  return t('strength_' + (nats < 0 ? 'against_' : 'for_') + level);
}
function odds(nats) {
  const times = Math.exp(Math.abs(nats));
  if (times < 1.2) return t('odds_even');
  const side = nats < 0 ? 'odds_against' : 'odds_for';
  if (times > 1000) return t(side + '_many');
  return t(side, { times: number(Number(times.toPrecision(times < 10 ? 2 : 1)), 1) });
}
function jurisdictionName(code) {
  if (!code) return t('unknown');
  const found = data.jurisdictions.find((one) => one.code === code);
  return found && found.name ? found.name : code;
}

// Elements: text only ever enters through textContent, so register text cannot become markup.
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === 'on') for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (name === 'class') made.className = value;
    else if (name in { checked: 1, value: 1, hidden: 1, disabled: 1 }) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
function svg(tag, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const byId = (id) => document.getElementById(id);

function relabel() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  document.title = t('title') + ' · ' + data.district;
  for (const one of document.querySelectorAll('[data-word]')) one.textContent = t(one.dataset.word);
  for (const one of document.querySelectorAll('[data-hint]')) one.placeholder = t(one.dataset.hint);
  for (const one of document.querySelectorAll('[data-label]')) one.setAttribute('aria-label', t(one.dataset.label));
  byId('district').textContent = data.district;
  byId('as-of').textContent = t('as_of', { date: dated(data.asOf) });
  const images = data.sources.filter((source) => source.first && source.sensor !== 'power');
  const firsts = images.map((source) => source.first).sort();
  const lasts = images.map((source) => source.last).sort();
  byId('imagery-dates').textContent = images.length
    ? t('imagery_dates', { first: dated(firsts[0]), last: dated(lasts[lasts.length - 1]) }) : '';
  byId('language').lang = language === 'zh' ? 'en' : 'zh-CN';
}

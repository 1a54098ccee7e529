// Which cases are shown: kind, status, probability, dates, place, words, and the day of the time slider.
const state = { kinds: new Set(), statuses: new Set(), least: 0, from: '', to: '', where: '', words: '', onlyNew: false, day: 0 };
const STATUSES = ['open', 'confirmed', 'refuted', 'closed'];
const lastDay = dayOf(data.asOf);
let kindsHere = [];
let statusesHere = [];
let firstDay = lastDay;
let someNew = false;
// What the cases leave to choose from; what is new among it is chosen.
function survey() {
  const kinds = new Set(data.cases.map((one) => one.kind));
  const statuses = new Set(data.cases.map((one) => one.status));
  for (const kind of kinds) if (!kindsHere.includes(kind)) state.kinds.add(kind);
  for (const status of statuses) if (!statusesHere.includes(status)) state.statuses.add(status);
  kindsHere = Object.keys(data.palette.kinds).filter((kind) => kinds.has(kind));
  statusesHere = STATUSES.filter((status) => statuses.has(status));
  firstDay = dayOf(data.cases.reduce((first, one) => (one.first < first ? one.first : first), data.asOf));
  someNew = data.cases.some((one) => one.isNew) && data.cases.some((one) => !one.isNew);
  for (const one of data.cases) {
    if (!one.haystack) one.haystack = [one.id, one.mine, one.mineName, one.operator, one.licence, one.rank].filter(Boolean).join('\n').toLowerCase();
  }
  byId('time').min = firstDay;
  byId('time-box').hidden = firstDay >= lastDay;
}

function passes(one) {
  return state.kinds.has(one.kind) && state.statuses.has(one.status) && one.p * 100 >= state.least
    && (!state.from || one.last >= state.from) && (!state.to || one.first <= state.to)
    && (!state.where || one.jurisdiction === state.where) && (!state.onlyNew || one.isNew)
    && dayOf(one.first) <= state.day && (!state.words || one.haystack.includes(state.words));
}
function activeFilters() {
  return [state.kinds.size < kindsHere.length, state.statuses.size < statusesHere.length, state.least > 0, state.from || state.to,
    state.where, state.onlyNew].filter(Boolean).length;
}

function buildFilters() {
  const kinds = byId('kinds');
  kinds.replaceChildren(...kindsHere.map((kind) => {
    const count = data.cases.filter((one) => one.kind === kind).length;
    const box = el('input', { type: 'checkbox', value: kind, checked: state.kinds.has(kind), on: { change: toggle(state.kinds) } });
    return el('label', { title: t('means_' + kind) }, box, symbol(kind, '', 20), t('kind_' + kind), el('span', { class: 'how-many' }, number(count)));
  }));
  byId('statuses').replaceChildren(...statusesHere.map((status) => {
    const box = el('input', { type: 'checkbox', value: status, checked: state.statuses.has(status), on: { change: toggle(state.statuses) } });
    return el('label', {}, box, t('status_' + status));
  }));
  const codes = [...new Set(data.cases.map((one) => one.jurisdiction).filter(Boolean))].sort();
  byId('where-line').hidden = codes.length < 2;
  byId('where').replaceChildren(el('option', { value: '' }, t('everywhere')),
    ...codes.map((code) => el('option', { value: code }, jurisdictionName(code))));
  byId('where').value = state.where;
  byId('new-line').hidden = !someNew;
}
function toggle(chosen) {
  return (event) => {
    if (event.target.checked) chosen.add(event.target.value);
    else chosen.delete(event.target.value);
    refresh();
  };
}
function clearFilters() {
  state.kinds = new Set(kindsHere);
  state.statuses = new Set(statusesHere);
  Object.assign(state, { least: 0, from: '', to: '', where: '', words: '', onlyNew: false, day: lastDay });
  for (const id of ['search', 'from', 'to']) byId(id).value = '';
  byId('least').value = 0;
  byId('only-new').checked = false;
  byId('time').value = lastDay;
}
function listen() {
  const form = byId('filters');
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('reset', (event) => { event.preventDefault(); clearFilters(); buildFilters(); refresh(); });
  byId('search').addEventListener('input', (event) => { state.words = event.target.value.trim().toLowerCase(); refresh(); });
  byId('least').addEventListener('input', (event) => { state.least = Number(event.target.value); refresh(); });
  byId('from').addEventListener('change', (event) => { state.from = event.target.value; refresh(); });
  byId('to').addEventListener('change', (event) => { state.to = event.target.value; refresh(); });
  byId('where').addEventListener('change', (event) => { state.where = event.target.value; refresh(); });
  byId('only-new').addEventListener('change', (event) => { state.onlyNew = event.target.checked; refresh(); });
  byId('time').addEventListener('input', (event) => { state.day = Number(event.target.value); refresh(); });
  byId('play').addEventListener('click', play);
}

// The slider moves by itself, a fortieth of the span each time.
let timer = null;
function play() {
  if (timer) return pause();
  if (state.day >= lastDay) state.day = firstDay;
  timer = setInterval(() => {
    state.day = Math.min(lastDay, state.day + Math.max(1, Math.round((lastDay - firstDay) / 40)));
    refresh();
    if (state.day >= lastDay) pause();
  }, 250);
  byId('play').textContent = t('pause');
}
function pause() {
  clearInterval(timer);
  timer = null;
  byId('play').textContent = t('play');
}

// The list: the most probable first, a page at a time so that thousands stay quick.
const PAGE = 100;
let pages = 1;
let shown = [];
function refresh() {
  const before = shown;
  shown = data.cases.filter(passes);
  if (shown.length !== before.length || shown.some((one, i) => one !== before[i])) { pages = 1; drawCases(shown); }
  byId('least-out').textContent = state.least + '%';
  byId('time').value = state.day;
  byId('time-out').textContent = t('time_up_to', { date: dated(textOf(state.day)) });
  byId('time').setAttribute('aria-valuetext', dated(textOf(state.day)));
  const active = activeFilters();
  byId('active-filters').hidden = !active;
  byId('active-filters').textContent = active;
  byId('count').textContent = !data.cases.length ? t('no_cases') : !shown.length ? t('none_found')
    : shown.length === data.cases.length ? t('showing_all', { total: number(data.cases.length) })
      : t('showing', { shown: number(shown.length), total: number(data.cases.length) });
  drawList();
}
function drawList() {
  byId('case-list').replaceChildren(...shown.slice(0, pages * PAGE).map(row));
  const rest = shown.length - pages * PAGE;
  byId('more').hidden = rest <= 0;
  byId('more').textContent = t('more', { count: number(Math.min(rest, PAGE)) });
}
function badges(one) {
  return [one.isNew && someNew ? el('span', { class: 'badge' }, t('new')) : null,
    one.status !== 'open' ? el('span', { class: 'badge ' + one.status }, t('status_' + one.status)) : null];
}
function row(one) {
  const what = [one.mineName || one.mine, one.licence ? t('licence') + ' ' + one.licence : '', one.jurisdiction ? jurisdictionName(one.jurisdiction) : '']
    .filter(Boolean).join(' · ');
  const size = one.area > 0 ? ' · ' + area(one.area) : '';
  const button = el('button', { type: 'button', 'data-case': one.id, 'aria-current': chosen === one.id ? 'true' : false, on: { click: () => openCase(one.id, true) } },
    symbol(one.kind, one.rank, 30),
    el('span', { class: 'kind' }, t('kind_' + one.kind), ...badges(one).filter(Boolean)),
    el('span', { class: 'chance' }, percent(one.p)),
    el('span', { class: 'what' }, what || one.id),
    el('span', { class: 'when' }, dated(one.first) + ' – ' + dated(one.last) + size));
  return el('li', {}, button);
}

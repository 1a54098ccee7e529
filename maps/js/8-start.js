// Everything put together.
function showTab(name) {
  for (const one of ['cases', 'about']) {
    const on = one === name;
    byId('pane-' + one).hidden = !on;
    byId('tab-' + one).setAttribute('aria-selected', String(on));
    byId('tab-' + one).tabIndex = on ? 0 : -1;
  }
}
function speak(next) {
  language = next;
  relabel();
  buildFilters();
  buildLegend();
  buildAbout();
  refresh();
  byId('play').textContent = t(timer ? 'pause' : 'play');
  notice();
  says();
  if (chosen !== null) { const id = chosen; byId('card').replaceChildren(cardHead(caseById.get(id)), cardBody(caseById.get(id))); }
}
// What of all the cases this file holds, until the archive has brought the rest.
function notice() {
  const left = byId('left-out');
  const some = { full: number(data.full), shown: number(data.cases.length), total: number(data.total) };
  left.hidden = data.total <= data.full || (archive !== null && data.total <= data.cases.length);
  left.textContent = data.total > data.cases.length ? t('left_out', some) : t('bare_notice', some);
}
let view = null;
let pressed = null;
// A browser prints a canvas over white, which would hide the image of the ground: a picture of it, twice as fine, goes to paper.
function press() {
  const fine = L.Browser.retina;
  L.Browser.retina = true;
  renderer._update();
  const canvas = renderer._container;
  pressed = el('img', { class: 'pressed', alt: '', src: canvas.toDataURL('image/png') });
  pressed.style.width = canvas.style.width;
  pressed.style.height = canvas.style.height;
  L.DomUtil.setPosition(pressed, L.DomUtil.getPosition(canvas));
  canvas.after(pressed);
  canvas.hidden = true;
  L.Browser.retina = fine;
}
function toPaper() {
  if (view) return;
  view = { centre: map.getCenter(), zoom: map.getZoom(), legend: byId('legend').open };
  const bounds = map.getBounds();
  document.body.classList.add('printing');
  byId('legend').open = true;
  buildPaper();
  map.invalidateSize({ animate: false, pan: false });
  map.fitBounds(bounds, { animate: false });
  press();
}
function fromPaper() {
  if (!view) return;
  pressed.remove();
  renderer._container.hidden = false;
  document.body.classList.remove('printing');
  byId('legend').open = view.legend;
  map.invalidateSize({ animate: false, pan: false });
  map.setView(view.centre, view.zoom, { animate: false });
  renderer._update();
  view = null;
}

function start() {
  for (const name of ['cases', 'about']) {
    byId('tab-' + name).addEventListener('click', () => showTab(name));
    byId('tab-' + name).addEventListener('keydown', (event) => {
      if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
      const other = name === 'cases' ? 'about' : 'cases';
      showTab(other);
      byId('tab-' + other).focus();
    });
  }
  byId('language').addEventListener('click', () => speak(language === 'zh' ? 'en' : 'zh'));
  byId('print').addEventListener('click', () => window.print());
  byId('more').addEventListener('click', () => { pages += 1; drawList(); });
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') closeCase(); });
  map.on('click', closeCase);
  window.addEventListener('beforeprint', toPaper);
  window.addEventListener('afterprint', fromPaper);
  byId('tiles-box').hidden = !data.tiles;
  byId('tiles-open').addEventListener('click', () => byId('tiles-file').click());
  byId('tiles-file').addEventListener('change', (event) => {
    openArchive(event.target.files[0]);
    event.target.value = '';
  });
  byId('time').max = lastDay;
  byId('legend').open = window.matchMedia('(min-width: 1100px)').matches;
  survey();
  // words first: how tall the heading is decides how much room the map has
  relabel();
  fitDistrict();
  buildLayers();
  buildCases();
  clearFilters();
  listen();
  speak(data.language);
  stack();
  new ResizeObserver(() => map.invalidateSize({ animate: false })).observe(byId('map'));
  // once the first picture is on the screen: when that was, in milliseconds since the page was asked for
  requestAnimationFrame(() => setTimeout(() => { document.documentElement.dataset.ready = performance.now().toFixed(0); }, 0));
}
start();

// The archive beside the page: a PMTiles file (version 3) of vector tiles, read from the disk a slice at a time.
class Bytes {
  constructor(bytes) { this.bytes = bytes; this.at = 0; }
  get more() { return this.at < this.bytes.length; }
  number() {
    let value = 0;
    for (let scale = 1, byte = 128; byte >= 128; scale *= 128) {
      byte = this.bytes[this.at];
      this.at += 1;
      value += (byte & 127) * scale;
    }
    return value;
  }
  take(length) { this.at += length; return this.bytes.subarray(this.at - length, this.at); }
  // the fields of a message: number and content, which is a number or bytes
  * fields() {
    while (this.more) {
      const key = this.number();
      const length = { 1: () => 8, 2: () => this.number(), 5: () => 4 }[key & 7];
      yield [key >> 3, length ? this.take(length()) : this.number()];
    }
  }
}
const signed = (value) => (value % 2 ? -(value + 1) / 2 : value / 2);
const readText = (bytes) => new TextDecoder().decode(bytes);
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const VALUES = {
  1: readText, 2: (bytes) => viewOf(bytes).getFloat32(0, true), 3: (bytes) => viewOf(bytes).getFloat64(0, true),
  4: (value) => (value >= 2 ** 63 ? value - 2 ** 64 : value), 5: (value) => value, 6: signed, 7: Boolean,
};
async function sliceOf(file, offset, length, packed) {
  const part = file.slice(offset, offset + length);
  const whole = packed ? new Response(part.stream().pipeThrough(new DecompressionStream('gzip'))) : part;
  return new Uint8Array(await whole.arrayBuffer());
}

// Where everything is: the head, its root directory and those below it.
async function readHead(file) {
  const bytes = await sliceOf(file, 0, 127, false);
  if (bytes.length < 127 || readText(bytes.subarray(0, 7)) !== 'PMTiles' || bytes[7] !== 3 || bytes[99] !== 1) return null;
  const view = viewOf(bytes);
  const at = (place) => Number(view.getBigUint64(place, true));
  const head = { file, packed: bytes[97] === 2, tilesPacked: bytes[98] === 2, leaves: at(40), data: at(56) };
  head.about = JSON.parse(readText(await sliceOf(file, at(24), at(32), head.packed)));
  head.tiles = await readDirectory(head, at(8), at(16));
  return head;
}
async function readDirectory(head, offset, length) {
  const from = new Bytes(await sliceOf(head.file, offset, length, head.packed));
  const entries = Array.from({ length: from.number() }, () => ({}));
  let id = 0;
  for (const one of entries) { id += from.number(); one.id = id; }
  for (const one of entries) one.run = from.number();
  for (const one of entries) one.length = from.number();
  entries.forEach((one, i) => {
    const place = from.number();
    one.offset = place === 0 ? entries[i - 1].offset + entries[i - 1].length : place - 1;
  });
  const found = [];
  for (const one of entries) {
    if (one.run === 0) found.push(...await readDirectory(head, head.leaves + one.offset, one.length));
    else found.push({ ...placeOf(one.id), offset: head.data + one.offset, length: one.length });
  }
  return found;
}
// A tile's number counts along Hilbert's curve, zoom after zoom.
function placeOf(id) {
  let zoom = 0;
  let at = id;
  while (at >= 4 ** zoom) { at -= 4 ** zoom; zoom += 1; }
  let x = 0;
  let y = 0;
  for (let side = 1; side < 2 ** zoom; side *= 2, at = Math.floor(at / 4)) {
    const right = Math.floor((at % 4) / 2);
    const up = (at % 2) ^ right;
    if (!up) {
      if (right) { x = side - 1 - x; y = side - 1 - y; }
      [x, y] = [y, x];
    }
    x += side * right;
    y += side * up;
  }
  const corner = (across, down) => [latOf(down / 2 ** zoom), lonOf(across / 2 ** zoom)];
  return { x, y, zoom, box: L.latLngBounds(corner(x, y + 1), corner(x + 1, y)) };
}
function lonOf(share) { return share * 360 - 180; }
function latOf(share) { return (Math.atan(Math.sinh(Math.PI * (1 - 2 * share))) * 180) / Math.PI; }

// A tile's features, each with its columns and its place as they are coded.
async function readTile(head, tile) {
  const bytes = await sliceOf(head.file, tile.offset, tile.length, head.tilesPacked);
  const found = [];
  for (const [field, layer] of new Bytes(bytes).fields()) if (field === 3) found.push(...readLayer(layer, tile));
  return found;
}
function readLayer(bytes, tile) {
  const names = [];
  const values = [];
  const coded = [];
  let extent = 4096;
  for (const [field, content] of new Bytes(bytes).fields()) {
    if (field === 2) coded.push(Object.fromEntries(new Bytes(content).fields()));
    else if (field === 3) names.push(readText(content));
    else if (field === 4) values.push([...new Bytes(content).fields()].map(([kind, value]) => VALUES[kind](value))[0]);
    else if (field === 5) extent = content;
  }
  return coded.map((one) => {
    const tags = new Bytes(one[2] || new Uint8Array());
    const row = {};
    while (tags.more) row[names[tags.number()]] = values[tags.number()];
    return { row, piece: { tile, extent, areas: one[3] === 3, path: one[4].slice() } };
  });
}
// The rings of a piece as latitudes and longitudes; of a point, none.
function rings(piece) {
  if (!piece.areas) return [];
  const from = new Bytes(piece.path);
  const side = 2 ** piece.tile.zoom;
  const found = [];
  let across = 0;
  let down = 0;
  while (from.more) {
    const command = from.number();
    if ((command & 7) === 7) continue;
    if ((command & 7) === 1) found.push([]);
    for (let i = command >> 3; i > 0; i -= 1) {
      across += signed(from.number());
      down += signed(from.number());
      found[found.length - 1].push([latOf((piece.tile.y + down / piece.extent) / side), lonOf((piece.tile.x + across / piece.extent) / side)]);
    }
  }
  return found;
}
// An outline is cut at its tile's edge; beyond it the next tile has the rest.
function drawPieces(pen, one) {
  const at = (place) => map.latLngToLayerPoint(place);
  for (const piece of one.pieces) {
    const { min, max } = L.bounds(at(piece.tile.box.getNorthWest()), at(piece.tile.box.getSouthEast()));
    pen.save();
    pen.beginPath();
    pen.rect(min.x, min.y, max.x - min.x, max.y - min.y);
    pen.clip();
    pen.beginPath();
    for (const ring of rings(piece)) {
      ring.forEach((place, i) => { const { x, y } = at(place); pen[i ? 'lineTo' : 'moveTo'](x, y); });
      pen.closePath();
    }
    pen.globalAlpha = one === crowd.options.chosen ? 0.4 : 0.25;
    pen.fillStyle = look(one.kind).colour;
    pen.fill('evenodd');
    pen.globalAlpha = 1;
    pen.strokeStyle = look(one.kind).colour;
    pen.lineWidth = one === crowd.options.chosen ? 4.5 : 2.4;
    pen.stroke();
    pen.restore();
  }
}

let archive = null;
let archiveSays = null;
const BATCH = 16;
function says(word) {
  if (word) archiveSays = word;
  const known = archive ? { read: number(archive.read), tiles: number(archive.tiles.length), total: number(data.cases.length) } : {};
  byId('tiles-state').textContent = t(archiveSays || 'tiles_stay', known);
}
async function openArchive(file) {
  if (!file || archive) return;
  if (typeof DecompressionStream === 'undefined') { says('tiles_old'); return; }
  let head = null;
  try { head = await readHead(file); } catch (error) { head = null; }
  if (!head) { says('tiles_none'); return; }
  if (head.about.description !== data.tiles) { says('tiles_other'); return; }
  archive = Object.assign(head, { read: 0 });
  byId('tiles-open').hidden = true;
  says('tiles_reading');
  try { await readAll(); } catch (error) {
    archive = null;
    byId('tiles-open').hidden = false;
    says('tiles_broken');
  }
}
// Tiles in view first, wherever the map has moved meanwhile, then the others.
async function readAll() {
  let drawn = performance.now();
  let fresh = 0;
  for (let left = archive.tiles.slice(); left.length;) {
    const view = map.getBounds();
    const seen = left.filter((tile) => view.intersects(tile.box));
    const batch = (seen.length ? seen : left).slice(0, BATCH);
    for (const features of await Promise.all(batch.map((tile) => readTile(archive, tile)))) {
      for (const { row, piece } of features) fresh += admit(row, piece);
    }
    left = left.filter((tile) => !batch.includes(tile));
    archive.read += batch.length;
    if (left.length && performance.now() - drawn < 500) continue;
    if (fresh) settle();
    else if (crowd._map) crowd.redraw();
    says('tiles_reading');
    fresh = 0;
    drawn = performance.now();
    // the page stays at hand between batches
    await new Promise((go) => setTimeout(go, 0));
  }
  notice();
  says('tiles_read');
}
// A case of the archive: one the page knows gains what it lacked, one it does not is new (1).
function admit(row, piece) {
  const known = caseById.get(row.case_id);
  if (known && !known.bare && !known.pieces) return 0;
  const one = known || caseOf(row);
  one.bare = false;
  one.pieces = (one.pieces || []).filter(({ tile }) => tile.x !== piece.tile.x || tile.y !== piece.tile.y).concat(piece.areas ? [piece] : []);
  one.tile = piece.tile;
  const real = (value) => (Number.isFinite(value) ? value : null);
  Object.assign(one, { outside: real(row.area_outside_m2), depth: real(row.depth_m) });
  if (Number.isFinite(row.gcj02_lon)) one.gcj = [row.gcj02_lon, row.gcj02_lat];
  if (known) return 0;
  data.cases.push(one);
  caseById.set(one.id, one);
  return 1;
}
function caseOf(row) {
  const word = (name) => row[name] || null;
  const [mineName, operator] = data.owners[row.mine_id] || [null, null];
  return {
    rank: row.rank, id: row.case_id, kind: row.kind, p: row.probability, mine: word('mine_id'), mineName, operator, licence: word('licence_no'),
    jurisdiction: word('jurisdiction'), first: row.first_seen || data.asOf, last: row.last_seen || data.asOf, reported: word('first_reported'),
    isNew: row.first_reported === data.asOf, area: row.area_m2, status: row.status, lon: row.lon, lat: row.lat, gcj: null, shape: null, evidence: [],
  };
}
// New cases take their place in the list and in the filters.
function settle() {
  data.cases.sort((one, other) => one.rank - other.rank);
  survey();
  buildFilters();
  buildLegend();
  notice();
  refresh();
}
// Evidence is long: it is read again from its tile when a card asks for it.
async function fetchEvidence(one) {
  const features = await readTile(archive, one.tile);
  const { row } = features.find((feature) => feature.row.case_id === one.id);
  one.evidence = JSON.parse(row.evidence).filter((term) => 'detector_' + term.detector in data.words)
    .map((term) => ({ detector: term.detector, nats: term.log_lr, says: term.says, series: null, seriesLeftOut: false }));
  one.tile = null;
  if (chosen === one.id) byId('card').replaceChildren(cardHead(one), cardBody(one));
}

// Symbols: one set of shapes for the map's canvas, the list and the legend, so that colour is never the only sign.
const SHAPES = data.palette.shapes;
function look(kind) { return data.palette.kinds[kind]; }

function symbol(kind, label, size) {
  const style = look(kind);
  const r = size * 0.36;
  const c = size / 2;
  const line = { fill: style.colour, stroke: '#1c2733', 'stroke-width': 0.8 };
  const points = SHAPES[style.shape];
  const mark = points
    ? svg('polygon', { ...line, points: points.map(([x, y]) => (c + x * r).toFixed(1) + ',' + (c + y * r).toFixed(1)).join(' ') })
    : svg('circle', { ...line, cx: c, cy: c, r: r });
  const drawn = svg('svg', { width: size, height: size, viewBox: '0 0 ' + size + ' ' + size, 'aria-hidden': 'true' }, mark);
  if (label) {
    const low = style.shape === 'triangle' ? 0.12 : 0;
    const text = svg('text', {
      x: c, y: c + size * (0.115 + low), 'text-anchor': 'middle', fill: style.ink, 'font-weight': 700,
      'font-size': size * ([0.34, 0.34, 0.34, 0.27, 0.22][String(label).length] || 0.18),
    });
    text.textContent = label;
    drawn.append(text);
  }
  return drawn;
}

// A case's mark on the canvas: shape, colour and rank; a ring round the one that is open.
// `_updateBounds` says how far a mark reaches, so that a part of the canvas can be drawn anew without cutting it.
function reach(layer, across, along) {
  const half = L.point(across, along);
  layer._pxBounds = L.bounds(layer._point.subtract(half), layer._point.add(half));
}
const Site = L.CircleMarker.extend({
  _updateBounds: function () { reach(this, this._radius * 1.3 + 14, this._radius * 1.3 + 14); },
  _updatePath: function () { this._renderer._updateSite(this); },
});
// The crossed tools of a mine.
const Pit = L.CircleMarker.extend({
  _updatePath: function () { this._renderer._updatePit(this); },
});
// A word on the ground: a licence's number, a jurisdiction's name; drawn only where `room` (a box) is wide enough.
const Label = L.CircleMarker.extend({
  options: { interactive: false, radius: 1 },
  _updateBounds: function () { reach(this, 110, 24); },
  _updatePath: function () { this._renderer._updateLabel(this); },
});

// Thousands of cases as one layer of small symbols; near enough, with those outlines that the archive has brought.
const OUTLINE_ZOOM = 13.5;
const OUTLINE_REACH = 1500;
const Crowd = L.Path.extend({
  options: { bubblingMouseEvents: false, radius: 4.5 },
  initialize: function () { this.members = []; },
  show: function (members) { this.members = members; if (this._map) this.redraw(); },
  _project: function () {
    this._points = this.members.map((one) => this._map.latLngToLayerPoint([one.lat, one.lon]));
    this._pxBounds = L.bounds(this._points);
    if (!this.members.length) return;
    this._pxBounds.min._subtract([20, 20]);
    this._pxBounds.max._add([20, 20]);
  },
  _update: function () { this._updatePath(); },
  _updatePath: function () { this._renderer._updateCrowd(this); },
  _empty: function () { return !this.members.length; },
  _containsPoint: function (at) {
    this.under = null;
    let nearest = 9;
    this._points.forEach((point, i) => {
      const far = Math.hypot(point.x - at.x, point.y - at.y);
      if (far < nearest) { nearest = far; this.under = this.members[i]; }
    });
    return this.under !== null;
  },
});

let hatch = null;
function hatchPattern(context) {
  if (hatch) return hatch;
  const tile = document.createElement('canvas');
  tile.width = tile.height = 10;
  const pen = tile.getContext('2d');
  pen.fillStyle = 'rgba(244,246,248,0.55)';
  pen.fillRect(0, 0, 10, 10);
  pen.strokeStyle = data.palette.blind;
  pen.lineWidth = 1.6;
  for (const shift of [-10, 0, 10]) {
    pen.beginPath();
    pen.moveTo(shift - 1, 11);
    pen.lineTo(shift + 11, -1);
    pen.stroke();
  }
  hatch = context.createPattern(tile, 'repeat');
  return hatch;
}

// A symbol drawn once for each kind and size: thousands of them are then copied in no time.
const stamps = new Map();
function stamp(kind, r) {
  const fine = L.Browser.retina ? 2 : 1;
  const key = [kind, r, fine].join();
  if (stamps.has(key)) return stamps.get(key);
  const made = document.createElement('canvas');
  made.half = Math.ceil(r * 1.3 + 4);
  made.width = made.height = made.half * 2 * fine;
  const pen = made.getContext('2d');
  pen.scale(fine, fine);
  pen.translate(made.half, made.half);
  pen.beginPath();
  const points = SHAPES[look(kind).shape];
  if (points) points.forEach(([dx, dy], i) => pen[i ? 'lineTo' : 'moveTo'](dx * r, dy * r));
  else pen.arc(0, 0, r, 0, 2 * Math.PI);
  pen.closePath();
  pen.lineJoin = 'round';
  pen.strokeStyle = '#ffffff';
  pen.lineWidth = 4;
  pen.stroke();
  pen.strokeStyle = '#1c2733';
  pen.lineWidth = 1.6;
  pen.stroke();
  pen.fillStyle = look(kind).colour;
  pen.fill();
  stamps.set(key, made);
  return made;
}

const plainFill = L.Canvas.prototype._fillStroke;
L.Canvas.include({
  _fillStroke: function (context, layer) {
    if (!layer.options.hatch) return plainFill.call(this, context, layer);
    context.globalAlpha = 1;
    context.fillStyle = hatchPattern(context);
    context.fill('evenodd');
    context.strokeStyle = data.palette.blind;
    context.lineWidth = 1;
    context.stroke();
  },
  _updateSite: function (layer) {
    if (!this._drawing || layer._empty()) return;
    const { x, y } = layer._point;
    const style = look(layer.options.kind);
    const r = layer._radius;
    const pen = this._ctx;
    pen.globalAlpha = 1;
    if (layer.options.chosen) {
      pen.setLineDash([]);
      pen.beginPath();
      pen.arc(x, y, r + 8, 0, 2 * Math.PI);
      pen.strokeStyle = '#ffffff';
      pen.lineWidth = 6;
      pen.stroke();
      pen.strokeStyle = '#1c2733';
      pen.lineWidth = 2.5;
      pen.stroke();
    }
    const ready = stamp(layer.options.kind, r);
    pen.drawImage(ready, x - ready.half, y - ready.half, ready.half * 2, ready.half * 2);
    if (r < 9) return;
    const label = String(layer.options.rank);
    pen.fillStyle = style.ink;
    pen.font = '700 ' + (label.length > 2 ? r * 0.75 : r * 0.98) + 'px system-ui, sans-serif';
    pen.textAlign = 'center';
    pen.textBaseline = 'middle';
    pen.fillText(label, x, y + (style.shape === 'triangle' ? r * 0.28 : r * 0.06));
  },
  _updateCrowd: function (layer) {
    if (!this._drawing || layer._empty()) return;
    const { min, max } = this._bounds;
    const near = ({ x, y }, far) => x >= min.x - far && x <= max.x + far && y >= min.y - far && y <= max.y + far;
    const pen = this._ctx;
    pen.globalAlpha = 1;
    pen.setLineDash([]);
    if (layer._map.getZoom() >= OUTLINE_ZOOM) {
      layer.members.forEach((one, i) => { if (one.pieces && near(layer._points[i], OUTLINE_REACH)) drawPieces(pen, one); });
    }
    // the most probable last, so that it lies on top
    for (let i = layer.members.length - 1; i >= 0; i -= 1) {
      const one = layer.members[i];
      const { x, y } = layer._points[i];
      if (!near(layer._points[i], 0)) continue;
      const ready = stamp(one.kind, layer.options.radius);
      pen.drawImage(ready, x - ready.half, y - ready.half, ready.half * 2, ready.half * 2);
      if (one !== layer.options.chosen) continue;
      pen.beginPath();
      pen.arc(x, y, 12, 0, 2 * Math.PI);
      pen.strokeStyle = '#1c2733';
      pen.lineWidth = 2.5;
      pen.stroke();
    }
  },
  _updatePit: function (layer) {
    if (!this._drawing || layer._empty()) return;
    const { x, y } = layer._point;
    const pen = this._ctx;
    pen.globalAlpha = 1;
    pen.beginPath();
    pen.arc(x, y, 7, 0, 2 * Math.PI);
    pen.fillStyle = '#ffffff';
    pen.fill();
    pen.strokeStyle = data.palette.mine;
    pen.lineWidth = 1.2;
    pen.stroke();
    pen.beginPath();
    for (const side of [-1, 1]) {
      pen.moveTo(x - side * 3.2, y + 3.4);
      pen.lineTo(x + side * 2.6, y - 2.6);
      pen.moveTo(x + side * 0.8, y - 4);
      pen.lineTo(x + side * 4.2, y - 0.8);
    }
    pen.lineWidth = 1.5;
    pen.stroke();
  },
  _updateLabel: function (layer) {
    if (!this._drawing || layer._empty()) return;
    const pen = this._ctx;
    pen.font = layer.options.font;
    const box = layer.options.room;
    const map = layer._map;
    const width = map.latLngToLayerPoint(box.getNorthEast()).x - map.latLngToLayerPoint(box.getSouthWest()).x;
    if (width < pen.measureText(layer.options.text).width + 6) return;
    pen.globalAlpha = 1;
    pen.textAlign = 'center';
    pen.textBaseline = 'middle';
    pen.lineJoin = 'round';
    pen.strokeStyle = 'rgba(255,255,255,0.9)';
    pen.lineWidth = 3.5;
    pen.strokeText(layer.options.text, layer._point.x, layer._point.y + layer.options.drop);
    pen.fillStyle = layer.options.ink;
    pen.fillText(layer.options.text, layer._point.x, layer._point.y + layer.options.drop);
  },
});

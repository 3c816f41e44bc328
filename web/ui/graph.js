// The throughput of the last two minutes, drawn small.

import { svg } from './dom.js';
import { bytes } from './format.js';
import { t } from './i18n.js';

const SAMPLES = 120;
const WIDTH = 240;
const HEIGHT = 48;

export class Graph {
  constructor() {
    this.samples = [];
    this.area = svg('path', { class: 'graph-area' });
    this.line = svg('path', { class: 'graph-line' });
    this.element = svg('svg', { class: 'graph', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': t('graph.label') },
      this.area, this.line);
  }

  add(perSecond, isActive) {
    // An idle page draws nothing and keeps nothing.
    if (!isActive && (this.samples.length === 0 || this.samples.at(-1) === 0)) return;
    this.samples.push(perSecond);
    if (this.samples.length > SAMPLES) this.samples.shift();
    this.draw();
  }

  draw() {
    const top = Math.max(...this.samples, 1);
    const step = WIDTH / (SAMPLES - 1);
    const from = WIDTH - (this.samples.length - 1) * step;
    const points = this.samples.map((value, index) => `${(from + index * step).toFixed(1)} ${(HEIGHT - 2 - (value / top) * (HEIGHT - 6)).toFixed(1)}`);
    const line = points.length > 1 ? `M${points.join('L')}` : '';
    this.line.setAttribute('d', line);
    this.area.setAttribute('d', line && `${line}L${WIDTH} ${HEIGHT}L${from.toFixed(1)} ${HEIGHT}Z`);
    this.element.setAttribute('aria-label', t('graph.words', { top: `${bytes(top)}/s` }));
  }
}

/** Which bytes are stored, as a strip. */
export class Extents {
  constructor() {
    this.path = svg('path', { class: 'have' });
    this.element = svg('svg', { class: 'extents', viewBox: '0 0 1000 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, this.path);
    this.drawn = '';
  }

  show(size, missing) {
    const at = (byte) => ((1000 * byte) / Math.max(1, size)).toFixed(1);
    let path = '';
    let from = 0;
    for (const { start, end } of missing) {
      if (start > from) path += `M${at(from)} 0H${at(start)}V10H${at(from)}Z`;
      from = Math.max(from, end);
    }
    if (from < size) path += `M${at(from)} 0H1000V10H${at(from)}Z`;
    if (path !== this.drawn) this.path.setAttribute('d', path);
    this.drawn = path;
  }
}

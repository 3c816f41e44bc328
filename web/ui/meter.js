// How fast bytes go, smoothed over ten seconds.

const WINDOW_S = 10;

export class Meter {
  constructor() {
    this.clear();
  }

  clear() {
    this.last = null;
    this.smooth = null;
    this.since = performance.now();
  }

  add(total) {
    const now = performance.now();
    if (!this.last) {
      this.last = { now, total };
      return;
    }
    const seconds = (now - this.last.now) / 1000;
    if (seconds < 0.2) return;
    const rate = Math.max(0, total - this.last.total) / seconds;
    this.last = { now, total };
    // The first seconds count like a plain mean: an average that begins at nothing would creep up for half a minute.
    const age = Math.min(WINDOW_S, (now - this.since) / 1000);
    const weight = 1 - Math.exp(-seconds / Math.max(age / 2, seconds));
    this.smooth = this.smooth === null ? rate : this.smooth + weight * (rate - this.smooth);
  }

  rate() {
    if (!this.last || performance.now() - this.last.now > 5000) return 0;
    return this.smooth ?? 0;
  }
}

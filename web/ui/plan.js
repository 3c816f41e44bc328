// Which bytes are still to be sent, in which slices. Slices are taken from the front, so that the stored prefix grows and the server
// hashes what is still in its memory.

const MIB = 1 << 20;
const SLICE_BYTES_MIN = MIB;
/** Near enough to each other that the server hashes them before they leave its cache (docs: 3.3 of the design). */
const SLICE_BYTES_MAX = 16 * MIB;
const FIRST_BYTES = 4 * MIB;
/** A slice should take about this long: short enough to lose little, long enough that its answer costs little. */
const TARGET_MS = 2000;

export class Plan {
  constructor(size, state) {
    this.size = size;
    this.sliceBytes = FIRST_BYTES;
    this.max = SLICE_BYTES_MAX;
    /** Taken and not answered yet. */
    this.taken = [];
    /** Slices that were answered: a state that was asked before one of them does not know it. */
    this.answered = 0;
    this.learn(state);
  }

  /** The server's word on what is missing. Slices that are under way stay taken. */
  learn(state) {
    const told = state.length ? state.missing : merged([...state.missing.filter((r) => r.start < this.size), ...rest(state, this.size)]);
    this.missing = told.map(({ start, end }) => ({ start, end: Math.min(end, this.size) }));
    // The list may be cut off; what comes after its last range is told when these are sent.
    this.storedBytes = Math.max(state.storedBytes, 0);
    for (const slice of this.taken) this.missing = without(this.missing, slice);
  }

  isComplete() {
    return this.missing.length === 0 && this.taken.length === 0;
  }

  take() {
    const [first] = this.missing;
    if (!first) return null;
    const end = Math.min(first.end, first.start + this.sliceBytes);
    const slice = { start: first.start, end };
    if (end === first.end) this.missing.shift();
    else first.start = end;
    this.taken.push(slice);
    return { start: slice.start, end };
  }

  #release({ start, end }) {
    this.taken = this.taken.filter((slice) => slice.start !== start || slice.end !== end);
  }

  giveBack(slice) {
    this.#release(slice);
    this.missing = merged([...this.missing, { start: slice.start, end: slice.end }]);
  }

  done(slice, { state, ms }) {
    this.#release(slice);
    this.answered += 1;
    this.storedBytes = Math.min(this.size, Math.max(this.storedBytes + slice.end - slice.start, 0));
    if (state.storedBytes !== undefined && this.taken.length === 0) this.storedBytes = state.storedBytes;
    const wanted = ((slice.end - slice.start) * TARGET_MS) / Math.max(ms, 1);
    // At most twice as long as the last, so that one fast answer does not decide.
    this.sliceBytes = this.#whole(Math.min(2 * this.sliceBytes, Math.max(wanted, this.sliceBytes / 2)));
  }

  smaller() {
    this.sliceBytes = this.#whole(this.sliceBytes / 2);
  }

  /** The server takes no longer slices than this, however short that is. */
  atMost(bytes) {
    if (bytes > 0) this.max = Math.min(this.max, bytes);
    this.smaller();
  }

  #whole(bytes) {
    return Math.min(this.max, Math.max(SLICE_BYTES_MIN, Math.floor(bytes / MIB) * MIB));
  }

  /** Whether the byte at `at` is yet to be read for a slice. */
  willSend(at) {
    return this.missing.some(({ start, end }) => start <= at && at < end);
  }

  /** Where the next range that is yet to be sent begins. */
  nextToSend(at) {
    return Math.min(...this.missing.map(({ start }) => start).filter((start) => start > at), Infinity);
  }

  /** At most 200 ranges, for the picture. */
  missingNow() {
    return merged([...this.missing, ...this.taken]).slice(0, 200);
  }
}

function rest(state, size) {
  if (state.missing.some(({ end }) => end >= size)) return [];
  const known = Math.max(state.offset, ...state.missing.map(({ end }) => end));
  // Before a length is declared nothing beyond what came is known to be missing.
  return known < size ? [{ start: known, end: size }] : [];
}

export function merged(ranges) {
  const sorted = ranges.map((range) => ({ ...range })).sort((a, b) => a.start - b.start);
  const out = [];
  for (const range of sorted) {
    const last = out.at(-1);
    if (last && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else if (range.start < range.end) out.push(range);
  }
  return out;
}

function without(ranges, { start, end }) {
  return ranges.flatMap((range) => [
    { start: range.start, end: Math.min(range.end, start) },
    { start: Math.max(range.start, end), end: range.end },
  ]).filter((range) => range.start < range.end);
}

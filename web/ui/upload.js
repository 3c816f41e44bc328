// One upload as the page sees it: its worker, its job on the server, its phase, and what to tell about it.

import { ApiError } from './api.js';
import { bytes } from './format.js';
import { t } from './i18n.js';
import { Meter } from './meter.js';

/** Phases in which something moves by itself. */
const ACTIVE = new Set(['checking', 'starting', 'sending', 'waiting', 'verifying', 'inspecting', 'publishing', 'comparing', 'pausing']);
const ENDED = new Set(['ready', 'failed', 'canceled']);
const STAGES = { receiving: 'sending', verifying: 'verifying', inspecting: 'inspecting', publishing: 'publishing' };
let count = 0;

export class Upload extends EventTarget {
  constructor(file, { expected, handle, jobs }) {
    super();
    count += 1;
    Object.assign(this, { id: count, file, expected, handle, jobs });
    this.meter = new Meter();
    this.reset();
  }

  reset() {
    this.phase = 'queued';
    this.imageId = null;
    this.format = null;
    this.job = null;
    this.image = null;
    this.path = null;
    this.stored = 0;
    this.sent = 0;
    this.hashed = 0;
    this.missing = [{ start: 0, end: this.file.size }];
    this.stagePercent = 0;
    this.sha256 = null;
    this.serverDigests = null;
    this.problem = null;
    this.waitsFor = null;
    this.resumedAt = 0;
    this.pausedBy = null;
  }

  get isActive() { return ACTIVE.has(this.phase); }
  get hasEnded() { return ENDED.has(this.phase); }
  get isStopped() { return this.phase === 'paused'; }
  get isUnfinished() { return !this.hasEnded; }
  get canPause() { return ['sending', 'waiting', 'checking', 'starting', 'queued'].includes(this.phase); }
  get canResume() { return this.phase === 'paused'; }
  get canRetry() { return this.phase === 'failed' && this.problem?.final !== true; }
  get rate() { return this.phase === 'sending' ? this.meter.rate() : 0; }

  get secondsLeft() {
    const rate = this.rate;
    return rate > 0 ? (this.file.size - this.sent) / rate : Infinity;
  }

  #to(phase, more = {}) {
    Object.assign(this, { phase, ...more });
    this.dispatchEvent(new Event('change'));
  }

  start() {
    if (this.file.size === 0) {
      this.#fail({ words: t('err.empty'), final: true });
      return;
    }
    this.#to('checking', { problem: null, waitsFor: null });
    this.worker?.terminate();
    this.worker = new Worker('/ui/engine.js', { type: 'module', name: `upload ${this.id}` });
    const { worker } = this;
    worker.onmessage = ({ data }) => {
      if (this.worker === worker) this.#heard(data).catch((error) => this.#refused(error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.worker === worker) this.#fail({ words: t('err.worker') });
    };
    worker.postMessage({ order: 'identify', file: this.file });
  }

  async #heard(data) {
    if (this.hasEnded) return;
    switch (data.kind) {
      case 'identified': return this.#identified(data);
      case 'sampled': return this.#sampled(data.digests);
      case 'progress': return this.#progressed(data);
      case 'reached':
        if (this.phase === 'waiting') this.#to('sending', { waitsFor: null });
        return;
      case 'waiting': return this.#waits(data);
      case 'suspended':
        return this.#to('paused', { pausedBy: 'other', waitsFor: data.words ?? null });
      case 'held': return this.#held();
      case 'hashed':
        this.sha256 = data.sha256;
        return this.#to(this.phase);
      case 'comparing': return this.#to('comparing');
      case 'finishing': return this.#finishing(data.state);
      case 'ready': return this.#ready(data);
      case 'failed': return this.#failed(data);
      default:
    }
  }

  async #identified({ imageId, format }) {
    this.imageId = imageId;
    this.format = format;
    const wrong = this.expected && mismatch(this.expected, this);
    if (wrong) {
      this.#fail({ words: wrong, final: true, wrongFile: true });
      return;
    }
    this.#to('starting');
    if (isForeign(this.expected)) await this.#compare();
    else await this.#open();
  }

  /** The other client's name for the file says nothing about its content: samples of what is stored do. */
  async #compare() {
    const { samples } = await this.jobs.samplesOf(this.expected.image);
    this.samples = samples;
    this.worker?.postMessage({ order: 'sample', ranges: samples });
  }

  async #sampled(digests) {
    const differs = this.samples.some(({ sha256 }, index) => sha256 !== digests[index]);
    if (differs) {
      this.#fail({ words: t('err.wrongContent', { name: this.expected.name, file: this.file.name }), final: true, wrongFile: true });
      return;
    }
    await this.#open();
  }

  async #open() {
    const { worker } = this;
    const place = await (isForeign(this.expected) ? this.jobs.jobOf(this.expected) : this.jobs.jobFor(this));
    if (this.worker !== worker || this.phase === 'canceled') return;
    Object.assign(this, { job: place.job, image: place.image, path: place.path, resumedAt: place.offset });
    this.jobs.keepHandle(this);
    if (this.wantsPause) {
      this.wantsPause = false;
      await this.jobs.suspendJob(this.job);
      this.#to('paused', { pausedBy: 'me', wasOpened: false });
      return;
    }
    this.meter.clear();
    this.wasOpened = true;
    worker.postMessage({ order: 'send', path: this.path, slices: this.width ?? 2 });
    this.#to('sending');
  }

  #progressed({ stored, sent, hashed, missing, sliceBytes }) {
    this.meter.add(sent);
    Object.assign(this, { stored, sent: Math.max(sent, stored), hashed, missing, sliceBytes });
    this.dispatchEvent(new Event('progress'));
    this.dispatchEvent(new Event('change'));
  }

  #waits({ status, code, words, requestId, ms }) {
    if (this.phase === 'paused') return;
    let told = words;
    if (!navigator.onLine) told = t('wait.offline');
    else if (status === 0) told = t('wait.server');
    else if (code === 'no_space') told = t('wait.space');
    else if (!words) told = t('wait.busy');
    this.#to('waiting', { waitsFor: told, retryAt: Date.now() + ms, requestId });
  }

  #finishing(state) {
    this.stored = state.storedBytes;
    this.sent = this.stored;
    this.missing = state.missing;
    this.stagePercent = state.stagePercent;
    const phase = STAGES[state.stage];
    if (state.state === 'Running' && phase && phase !== 'sending') this.#to(phase, { waitsFor: state.waitsFor ?? null });
    else if (state.state === 'Running') this.#to('verifying');
  }

  #ready({ state, sha256 }) {
    this.worker?.terminate();
    this.worker = null;
    this.jobs.dropHandle(this);
    this.#to('ready', { serverDigests: { md5: state.md5, sha256: state.sha256 }, sha256, stored: this.file.size, sent: this.file.size, missing: [] });
  }

  #failed(data) {
    const size = this.file.size;
    const known = {
      other_size: () => t('err.otherSize', { theirs: bytes(data.length ?? 0), ours: bytes(size) }),
      changed: () => t('err.changed'),
      unreadable: () => t('err.unreadable'),
      digest: () => t('err.digest', { server: data.words, own: data.sha256 }),
      canceled: () => t('err.canceled'),
      gone: () => t('err.gone'),
    }[data.code];
    if (data.code === 'canceled') {
      this.end();
      this.#to('canceled', { problem: { words: known() } });
      return;
    }
    this.#fail({ words: known ? known() : data.words || t('err.unknown'), requestId: data.requestId, code: data.code });
  }

  #refused(error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.isNetwork || error.status === 401 || error.code === 'ID.1001') {
      // The control plane is away, or asks who this is: that passes, and the file need not be chosen again.
      this.#to('waiting', { waitsFor: error.isNetwork ? error.words : t('wait.session'), retryAt: Date.now() + 3000 });
      setTimeout(() => {
        if (this.phase === 'waiting' && this.worker) this.#open().catch((again) => this.#refused(again));
      }, 3000);
      return;
    }
    this.#fail({ words: error.words, requestId: error.requestId, code: error.code });
  }

  #fail(problem) {
    this.worker?.terminate();
    this.worker = null;
    this.#to('failed', { problem });
  }

  /** Ends the worker; the job on the server stays as it is. */
  end() {
    this.worker?.terminate();
    this.worker = null;
  }

  useConnections(width) {
    if (this.width === width) return;
    this.width = width;
    this.worker?.postMessage({ order: 'width', slices: width });
  }

  async pause() {
    if (!this.canPause) return;
    if (this.phase === 'queued') {
      this.#to('paused', { pausedBy: 'me', wasOpened: false });
      return;
    }
    if (!this.wasOpened) {
      this.wantsPause = true;
      this.#to('pausing');
      return;
    }
    this.#to('pausing');
    this.worker?.postMessage({ order: 'hold' });
  }

  async #held() {
    if (this.phase !== 'pausing') return;
    // A job that could not be suspended suspends by itself when no byte comes; the pause holds all the same.
    await this.jobs.suspendJob(this.job).catch(() => {});
    this.#to('paused', { pausedBy: 'me', waitsFor: null });
  }

  async resume() {
    if (!this.canResume) return;
    if (!this.worker) {
      this.#to('queued');
      return;
    }
    try {
      await this.jobs.resumeJob(this.job);
      this.meter.clear();
      if (this.wasOpened) this.worker.postMessage({ order: 'go' });
      else await this.#open();
      this.#to('sending', { waitsFor: null, pausedBy: null });
    } catch (error) {
      this.#refused(error);
    }
  }

  retry() {
    this.end();
    this.wasOpened = false;
    this.reset();
    this.#to('queued');
  }

  async cancel() {
    if (this.hasEnded) return;
    const { job } = this;
    this.end();
    this.#to('canceled', { problem: null });
    this.jobs.dropHandle(this);
    if (!job) return;
    try {
      await this.jobs.cancelJob(job);
    } catch (error) {
      this.#to('canceled', { problem: { words: t('err.cancel', { words: error.words }), requestId: error.requestId } });
    }
  }

  networkLost() {
    if (this.phase === 'sending') this.#to('waiting', { waitsFor: t('wait.offline'), retryAt: null });
    if (this.wasOpened && this.isActive) {
      this.wasCut = true;
      this.worker?.postMessage({ order: 'hold' });
    }
  }

  networkBack() {
    if (!this.wasCut) return;
    this.wasCut = false;
    if (this.isActive) this.worker?.postMessage({ order: 'go' });
  }
}

/** Whether an upload was begun by a client that names files in another way. */
const isForeign = (expected) => Boolean(expected) && !expected.imageId?.startsWith('ls1-');

/** Why this file is not the one that an unfinished upload needs; null if it is. */
function mismatch(expected, { file, imageId }) {
  if (expected.length && expected.length !== file.size) {
    return t('err.wrongSize', { name: expected.name, theirs: bytes(expected.length), ours: bytes(file.size), file: file.name });
  }
  if (expected.imageId?.startsWith('ls1-') && expected.imageId !== imageId) {
    return t('err.wrongContent', { name: expected.name, file: file.name });
  }
  return null;
}

// One upload of this page.

import { button, h, icon, keepingFocus, say, toggle } from '../dom.js';
import { bytes, duration, percent, rate } from '../format.js';
import { Extents } from '../graph.js';
import { t } from '../i18n.js';
import { queue } from '../queue.js';
import { badge, cliLine, confirmDialog, digestRow } from './parts.js';

/** What is still before an upload, in order; shown as steps. */
const STEPS = ['checking', 'sending', 'verifying', 'inspecting', 'ready'];
const STEP_OF = { queued: -1, checking: 0, starting: 0, sending: 1, waiting: 1, paused: 1, pausing: 1, verifying: 2, comparing: 2, inspecting: 3, publishing: 3, ready: 4 };

export function uploadCard(upload) {
  const { file } = upload;
  const extents = new Extents();
  const bar = h('div', { class: 'bar-track', role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-label': t('card.progress', { name: file.name }) }, extents.element);
  const digestBar = h('div', { class: 'digest-bar', 'aria-hidden': 'true' }, h('i'));
  const state = h('span', { class: 'badge' });
  const numbers = h('p', { class: 'numbers' });
  const note = h('p', { class: 'note' });
  const steps = h('ol', { class: 'steps' }, STEPS.map((step) => h('li', { data: { step } }, t(`phase.${step}`))));
  const acts = {
    pause: button('pause', t('act.pause'), () => upload.pause(), { quiet: true }),
    resume: button('play', t('act.resume'), () => upload.resume(), { quiet: true }),
    retry: button('retry', t('act.retry'), () => upload.retry(), { quiet: true }),
    cancel: button('cancel', t('act.cancel'), async () => { if (await sure(upload)) upload.cancel(); }, { quiet: true }),
    remove: button('check', t('act.remove'), () => queue.remove(upload), { quiet: true }),
  };
  const more = h('dl', { class: 'facts' });
  const details = h('details', { class: 'more' }, h('summary', null, t('card.details')), more);
  const element = h('li', { class: 'card upload' },
    h('div', { class: 'upload-head' },
      h('span', { class: 'file-icon' }, icon('disc')),
      h('div', { class: 'upload-name' }, h('p', { class: 'name', title: file.name }, file.name), numbers),
      state, h('div', { class: 'acts' }, Object.values(acts))),
    bar, digestBar, steps, note, details);
  let shown = '';
  details.addEventListener('toggle', () => facts(true));

  function facts(force) {
    const key = [upload.phase === 'ready', upload.job, upload.imageId, upload.sha256].join();
    if ((!force && key === shown) || !details.open) return;
    shown = key;
    more.replaceChildren(...factRows(upload));
  }

  element.show = () => {
    const { phase } = upload;
    element.dataset.phase = phase;
    badge(state, phase);
    say(numbers, numbersOf(upload));
    const told = noteOf(upload);
    toggle(note, told !== '');
    note.className = `note ${upload.problem ? 'bad' : ''}`;
    say(note, told);
    extents.show(file.size, upload.missing);
    const done = Math.floor((100 * Math.min(upload.sent, file.size)) / Math.max(1, file.size));
    bar.setAttribute('aria-valuenow', String(done));
    bar.setAttribute('aria-valuetext', `${t(`phase.${phase}`)}, ${done} %`);
    digestBar.firstChild.style.setProperty('inline-size', `${(100 * upload.hashed) / Math.max(1, file.size)}%`);
    const at = STEP_OF[phase] ?? -1;
    [...steps.children].forEach((step, index) => {
      step.className = index < at || phase === 'ready' ? 'done' : index === at ? 'now' : '';
    });
    toggle(steps, !upload.hasEnded);
    toggle(bar, phase !== 'canceled' && phase !== 'ready');
    toggle(digestBar, upload.isUnfinished && upload.hashed > 0);
    keepingFocus(element, [acts.pause, acts.resume, acts.retry, acts.remove], () => {
      toggle(acts.pause, upload.canPause);
      toggle(acts.resume, upload.canResume);
      toggle(acts.retry, upload.canRetry);
      toggle(acts.cancel, upload.isUnfinished);
      toggle(acts.remove, upload.hasEnded);
    });
    facts(false);
  };
  return element;
}

/** A byte that was stored is worth a question. */
const sure = (upload) => upload.stored < 16 << 20
  || confirmDialog(t('act.cancelTitle'), t('act.cancelSure', { name: upload.file.name, bytes: bytes(upload.stored) }), t('act.cancel'));

function numbersOf(upload) {
  const { size } = upload.file;
  const { phase, sent } = upload;
  if (phase === 'ready') {
    // Said only where two digests were compared: the server's may be switched off.
    const isSame = Boolean(upload.sha256) && upload.serverDigests?.sha256 === upload.sha256;
    return `${bytes(size)} · ${t(isSame ? 'card.same' : upload.isUnread ? 'card.unread' : 'card.notCompared')}`;
  }
  const parts = [];
  if (['verifying', 'inspecting', 'publishing'].includes(phase)) parts.push(`${upload.stagePercent} %`, bytes(size));
  else if (phase === 'comparing') parts.push(t('card.hash', { percent: percent(upload.hashed, size) }));
  else if (sent > 0) parts.push(percent(sent, size), t('card.of', { sent: bytes(sent), size: bytes(size) }));
  else parts.push(bytes(size));
  if (upload.rate > 0) parts.push(rate(upload.rate));
  if (phase === 'sending' && Number.isFinite(upload.secondsLeft)) parts.push(t('left.time', { time: duration(upload.secondsLeft) }));
  if (phase === 'sending' && upload.resumedAt > 0 && upload.hashed < sent) parts.push(t('card.hash', { percent: percent(upload.hashed, size) }));
  return parts.join(' · ');
}

function noteOf(upload) {
  const { phase, problem, waitsFor } = upload;
  if (problem) return problem.requestId ? `${problem.words} ${t('request', { id: problem.requestId })}` : problem.words;
  if (phase === 'waiting') return upload.requestId ? `${waitsFor} ${t('request', { id: upload.requestId })}` : waitsFor;
  if (phase === 'paused' && upload.pausedBy === 'person') return t('card.pausedByPerson', { bytes: bytes(upload.stored) });
  if (phase === 'paused') return upload.pausedBy === 'other' ? t('card.pausedByOther') : t('card.paused');
  if (phase === 'queued') return t('card.queued');
  if (upload.resumedAt > 0 && phase === 'sending') return t('card.resumed', { bytes: bytes(upload.resumedAt) });
  return '';
}

function factRows(upload) {
  const rows = [];
  const row = (name, ...value) => rows.push(h('dt', null, name), h('dd', null, value));
  if (upload.phase === 'ready') {
    for (const [name, digest] of [['SHA-256', upload.serverDigests?.sha256], ['MD5', upload.serverDigests?.md5]]) if (digest) row(name, digestRow(digest));
    row(t('fact.image'), h('a', { href: `#/images/${upload.image}` }, upload.image));
  } else row(t('fact.cli'), cliLine(upload.file.name));
  if (upload.job) row(t('fact.job'), h('a', { href: `#/jobs/${upload.job}` }, upload.job));
  if (upload.imageId) row('IMAGE_ID', digestRow(upload.imageId));
  if (upload.format) row(t('fact.format'), upload.format);
  return rows;
}


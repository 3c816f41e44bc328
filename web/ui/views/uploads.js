// Sending: drop or choose, what runs, what was left unfinished, here or on another machine.

import { currentSession } from '../api.js';
import { announce, button, h, icon, keyed, say, toast, toggle } from '../dom.js';
import { bytes, duration, percent, rate } from '../format.js';
import { Graph } from '../graph.js';
import { fileOf, offersHandles } from '../handles.js';
import { t } from '../i18n.js';
import { concernsOthers, onNews } from '../live.js';
import { FILES_MAX, queue } from '../queue.js';
import { unfinished } from '../unfinished.js';
import { confirmDialog } from './parts.js';
import { uploadCard } from './upload_card.js';
import { unfinishedCard } from './unfinished_card.js';

/** Beyond the queue's life the graph would begin anew with every visit. */
const graph = new Graph();

export function uploadsView() {
  const input = h('input', { type: 'file', multiple: true, class: 'offscreen', tabindex: '-1', 'aria-hidden': 'true', id: 'files',
    on: { change: () => { take([...input.files]); input.value = ''; } } });
  const zone = dropZone(input);
  const cards = h('ul', { class: 'cards', 'aria-label': t('queue.label') });
  const left = h('ul', { class: 'cards' });
  const leftMore = h('p', { class: 'muted', hidden: true }, h('a', { href: '#/jobs' }));
  const leftPart = h('section', { hidden: true, 'aria-labelledby': 'left-title' },
    h('h2', { id: 'left-title' }, t('left.title')), h('p', { class: 'muted' }, t('left.words')), left, leftMore);
  const summary = summaryBar();
  const queuePart = h('section', { hidden: true, 'aria-labelledby': 'queue-title' },
    h('h2', { id: 'queue-title', class: 'spoken' }, t('queue.label')), summary.element, cards);
  let found = [];
  let more = 0;
  let drawn = false;

  function draw() {
    drawn = false;
    toggle(queuePart, queue.uploads.length > 0);
    zone.classList.toggle('small', queue.uploads.length > 0);
    keyed(cards, queue.uploads, (upload) => upload.id, uploadCard);
    const mine = new Set(queue.uploads.filter((upload) => !upload.hasEnded).map((upload) => upload.job));
    const others = found.filter((one) => !mine.has(one.job));
    toggle(leftPart, others.length > 0);
    keyed(left, others, (one) => one.job, unfinishedCard);
    toggle(leftMore, more > 0);
    say(leftMore.firstChild, t('left.more', { count: more }));
    summary.show();
  }

  function redraw() {
    if (drawn) return;
    drawn = true;
    requestAnimationFrame(draw);
  }

  async function ask(news) {
    const own = queue.uploads.filter((upload) => !upload.hasEnded);
    // How far the uploads of this page are they say themselves.
    if (!currentSession() || !concernsOthers(news, new Set(own.map((upload) => upload.job)))) return;
    try {
      ({ found, more } = await unfinished(new Set(own.map((upload) => upload.image))));
      redraw();
    } catch { /* Asked again with the next news. */ }
  }

  queue.addEventListener('change', redraw);
  const beat = setInterval(() => {
    graph.add(queue.active().reduce((sum, upload) => sum + upload.rate, 0), queue.active().length > 0);
    summary.show();
  }, 1000);
  const deaf = onNews(ask);
  ask(null);
  draw();
  const element = h('div', { class: 'view' }, h('h1', { class: 'spoken' }, t('nav.uploads')), zone, input, queuePart, leftPart);
  return {
    element,
    leave() {
      queue.removeEventListener('change', redraw);
      clearInterval(beat);
      deaf();
    },
  };
}

/** Takes files up and says what was not taken. */
function take(files, handles = []) {
  const real = files.filter((file) => file instanceof File);
  if (real.length === 0) return;
  const leftOut = queue.add(real, { handles });
  if (leftOut > 0) toast(t('drop.tooMany', { count: leftOut, max: FILES_MAX }), 'bad');
  else announce(t('drop.taken', { count: real.length }));
}

function dropZone(input) {
  const choose = async () => {
    if (!offersHandles()) {
      input.click();
      return;
    }
    try {
      const handles = await showOpenFilePicker({ multiple: true });
      take(await Promise.all(handles.map((handle) => handle.getFile())), handles);
    } catch (error) {
      // Escape is no fault. Anything else: the plain way works everywhere.
      if (error.name !== 'AbortError') input.click();
    }
  };
  const zone = h('div', { class: 'drop', on: { dragenter, dragover: dragenter, dragleave, drop } },
    h('div', { class: 'drop-icon' }, icon('upload')),
    h('div', { class: 'drop-words' },
      h('p', { class: 'drop-title' }, t('drop.title')),
      h('p', { class: 'muted' }, t('drop.words'))),
    button('', t('drop.choose'), choose, { kind: 'primary' }));
  function dragenter(event) {
    event.preventDefault();
    zone.classList.add('over');
  }
  function dragleave(event) {
    if (!zone.contains(event.relatedTarget)) zone.classList.remove('over');
  }
  async function drop(event) {
    event.preventDefault();
    zone.classList.remove('over');
    // What was dropped is gone from the event after the first wait: everything is asked for before.
    const items = [...(event.dataTransfer.items ?? [])].filter((item) => item.kind === 'file');
    const folders = items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory).length;
    const asked = items.map((item) => item.getAsFileSystemHandle?.().catch(() => null));
    const files = items.length > 0
      ? items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile())
      : [...event.dataTransfer.files];
    const handles = (await Promise.all(asked)).filter((handle) => handle?.kind !== 'directory');
    if (folders > 0) toast(t('drop.folder'), 'bad');
    take(files, handles);
  }
  return zone;
}

function summaryBar() {
  const line = h('p', { class: 'summary-line' });
  const speed = h('p', { class: 'summary-rate' });
  const pause = button('pause', t('all.pause'), () => queue.pauseAll());
  const resume = button('play', t('all.resume'), () => queue.resumeAll());
  const cancel = button('cancel', t('all.cancel'), async () => {
    if (await confirmDialog(t('all.cancelTitle'), t('all.cancelSure'), t('all.cancel'))) queue.cancelAll();
  });
  const clear = button('check', t('all.clear'), () => queue.clearEnded());
  const element = h('div', { class: 'summary card' },
    h('div', { class: 'summary-words' }, speed, line), graph.element,
    h('div', { class: 'row summary-acts' }, pause, resume, cancel, clear));
  function show() {
    const { uploads } = queue;
    const open = uploads.filter((upload) => !['failed', 'canceled'].includes(upload.phase));
    const total = open.reduce((sum, upload) => sum + upload.file.size, 0);
    const sent = open.reduce((sum, upload) => sum + Math.min(upload.sent, upload.file.size), 0);
    const now = queue.active().reduce((sum, upload) => sum + upload.rate, 0);
    const ready = uploads.filter((upload) => upload.phase === 'ready').length;
    const parts = [t('sum.files', { ready, count: uploads.length }), t('sum.bytes', { sent: bytes(sent), total: bytes(total), percent: percent(sent, total) })];
    if (now > 0 && sent < total) parts.push(t('left.time', { time: duration((total - sent) / now) }));
    say(line, parts.join(' · '));
    const idle = uploads.every((upload) => upload.hasEnded) ? t(ready === uploads.length ? 'sum.done' : 'sum.ended') : t('sum.idle');
    say(speed, now > 0 ? rate(now) : queue.active().length > 0 ? t('sum.working') : idle);
    toggle(pause, uploads.some((upload) => upload.canPause));
    toggle(resume, uploads.some((upload) => upload.canResume || upload.canRetry));
    toggle(cancel, uploads.some((upload) => upload.isUnfinished));
    toggle(clear, uploads.some((upload) => upload.hasEnded));
    document.title = now > 0 ? `${percent(sent, total)} · Longshore` : `${t('nav.uploads')} · Longshore`;
  }
  return { element, show };
}

/** Goes on with an unfinished upload by the handle that the browser kept. */
export async function goOnWith(one, handle) {
  const file = await fileOf(handle).catch(() => null);
  if (!file) {
    toast(t('left.noFile', { name: one.name }), 'bad');
    return;
  }
  queue.add([file], { expected: one, handles: [handle] });
}

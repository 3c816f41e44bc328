// An upload that the server keeps and this page does not send.

import { act } from '../api.js';
import { button, h, icon, say, toast, toggle } from '../dom.js';
import { bytes, percent } from '../format.js';
import { Extents } from '../graph.js';
import { t } from '../i18n.js';
import { queue } from '../queue.js';
import { badge, confirmDialog } from './parts.js';
import { goOnWith } from './uploads.js';

export function unfinishedCard(one) {
  let now = one;
  const extents = new Extents();
  const words = h('p', { class: 'numbers' });
  const state = h('span', { class: 'badge' });
  const note = h('p', { class: 'note' });
  const input = h('input', { type: 'file', class: 'offscreen', tabindex: '-1', 'aria-hidden': 'true', data: { job: one.job },
    on: { change: () => { if (input.files[0]) queue.add([input.files[0]], { expected: now }); input.value = ''; } } });
  const choose = button('file', t('left.choose'), () => input.click(), { kind: 'primary' });
  const goOn = button('play', t('left.goOn'), () => goOnWith(now, now.handle), { kind: 'primary' });
  const cancel = button('trash', t('left.discard'), discard, { quiet: true });
  const element = h('li', { class: 'card upload left' },
    h('div', { class: 'upload-head' }, h('span', { class: 'file-icon' }, icon('clock')),
      h('div', { class: 'upload-name' }, h('p', { class: 'name', title: one.name }, one.name), words),
      state, h('div', { class: 'acts' }, goOn, choose, cancel)),
    h('div', { class: 'bar-track', 'aria-hidden': 'true' }, extents.element), note, input);

  async function discard() {
    const yes = await confirmDialog(t('left.discardTitle'), t('left.discardWords', { name: now.name, bytes: bytes(now.stored) }), t('left.discard'));
    if (!yes) return;
    try {
      await act('PUT', `/zstack/v1/longjobs/${now.job}/actions`, { cancelLongJob: {} });
      element.remove();
    } catch (error) {
      toast(error.words ?? String(error), 'bad');
    }
  }

  element.show = (fresh) => {
    now = fresh;
    const finishing = fresh.state === 'Running' && fresh.stage !== 'receiving';
    badge(state, finishing ? fresh.stage : fresh.isMoving ? 'receiving' : fresh.isPaused ? 'paused' : 'interrupted');
    const length = fresh.length ?? 0;
    say(words, length > 0 ? `${percent(fresh.stored, length)} · ${t('card.of', { sent: bytes(fresh.stored), size: bytes(length) })}` : bytes(fresh.stored));
    extents.show(length || 1, length ? fresh.missing : [{ start: 0, end: 1 }]);
    const told = finishing ? t('left.finishing', { percent: fresh.stagePercent })
      : fresh.isMoving ? t('left.elsewhere')
        : fresh.isPaused ? t('left.paused', { name: fresh.name })
        : t('left.hint', { name: fresh.name, percent: length > 0 ? percent(fresh.stored, length) : bytes(fresh.stored) });
    say(note, told);
    toggle(goOn, Boolean(fresh.handle) && !finishing);
    toggle(choose, !finishing);
    choose.classList.toggle('primary', !fresh.handle);
  };
  return element;
}


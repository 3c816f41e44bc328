// Small parts that several views show.

import { button, copy, h, icon, liveRegions, say } from '../dom.js';
import { t } from '../i18n.js';

/** How a phase of this page or a state of a job looks. */
const LOOK = {
  interrupted: 'warn', receiving: 'busy', joining: 'busy', queued: 'idle', checking: 'busy', starting: 'busy', sending: 'busy', waiting: 'warn', pausing: 'idle', paused: 'idle', verifying: 'busy', comparing: 'busy',
  inspecting: 'busy', publishing: 'busy', ready: 'good', failed: 'bad', canceled: 'idle',
  Waiting: 'idle', Running: 'busy', Suspended: 'warn', Canceling: 'idle', Succeeded: 'good', Failed: 'bad', Canceled: 'idle',
};

export function badge(element, state) {
  const look = `badge ${LOOK[state] ?? 'idle'}`;
  if (element.className !== look) element.className = look;
  const words = /^[A-Z]/.test(state) ? t(`state.${state}`) : t(`phase.${state}`);
  say(element, words);
  return element;
}

export const stateBadge = (state) => badge(h('span', { class: 'badge' }), state);

/** A digest or an id, with a button to copy it. */
export function digestRow(text) {
  return h('span', { class: 'copyable' }, h('code', null, text), button('copy', t('act.copy'), () => copy(text, t('copied')), { quiet: true }));
}

/** What continues the same upload from a terminal: the command line finds it by the file's content. */
export function cliLine(name) {
  const plain = /^[\w@%+=:,./-]+$/.test(name) && !name.startsWith('-');
  const safe = plain ? name : `'${(name.startsWith('-') ? `./${name}` : name).replaceAll("'", String.raw`'\''`)}'`;
  // With the server's name: on another machine the command line would look for it at home.
  return digestRow(`longshore upload --server ${location.origin} ${safe}`);
}

/** What is shown where there is nothing. */
export function empty(name, title, words) {
  return h('div', { class: 'empty' }, h('span', { class: 'empty-icon' }, icon(name)), h('p', { class: 'empty-title' }, title), h('p', { class: 'muted' }, words));
}

export function problemNote(error) {
  const words = error.words ?? String(error);
  return h('p', { class: 'note bad', role: 'alert' }, error.requestId ? `${words} ${t('request', { id: error.requestId })}` : words);
}

/** Things worth a look. */
export const warningList = (warnings) => h('ul', { class: 'warnings' }, warnings.map((words) => h('li', null, icon('alert'), h('span', null, words))));

/** A dialog that closes by Escape, by its button and by a click beside it. */
export function dialog(title, ...content) {
  const close = button('cancel', t('act.close'), () => element.close(), { quiet: true });
  const body = h('div', { class: 'dialog-body' }, content);
  const element = h('dialog', { class: 'dialog', 'aria-labelledby': 'dialog-title' },
    h('div', { class: 'dialog-head' }, h('h2', { id: 'dialog-title' }, title), close), body, liveRegions());
  element.addEventListener('click', (event) => event.target === element && element.close());
  element.addEventListener('close', () => {
    // What it has just said stays to be read.
    document.getElementById('toasts').append(...element.querySelectorAll('.toast'));
    element.remove();
  });
  document.body.append(element);
  element.showModal();
  return { element, body };
}

/** Asks in words, and does nothing unless the dangerous button is pressed. */
export function confirmDialog(title, words, yes) {
  return new Promise((resolve) => {
    let said = false;
    const { element, body } = dialog(title, h('p', null, words));
    const no = button('', t('act.keep'), () => element.close());
    const go = button('trash', yes, () => { said = true; element.close(); }, { kind: 'danger' });
    body.append(h('div', { class: 'row end' }, no, go));
    element.addEventListener('close', () => resolve(said));
    no.focus();
  });
}

/** Previous, next, and which of how many. */
export function pager(move) {
  const back = button('', t('page.back'), () => move(-1));
  const on = button('', t('page.next'), () => move(1));
  const words = h('span', { class: 'muted', 'aria-live': 'polite' });
  const element = h('div', { class: 'row pager' }, back, words, on);
  return {
    element,
    show({ start, shown, total }) {
      back.disabled = start === 0;
      on.disabled = start + shown >= total;
      element.hidden = total === 0;
      const isOnePage = start === 0 && shown >= total;
      back.hidden = isOnePage;
      on.hidden = isOnePage;
      say(words, t('page.words', { from: start + 1, to: start + shown, total }));
    },
  };
}

/** A field to search in; tells after a short rest, so that each letter is no request. */
export function searchBox(label, tell) {
  let timer = null;
  const input = h('input', { type: 'search', placeholder: label, 'aria-label': label, autocomplete: 'off', spellcheck: 'false', maxlength: '200',
    on: { input: () => { clearTimeout(timer); timer = setTimeout(() => tell(input.value.trim()), 120); } } });
  return h('div', { class: 'search' }, icon('search'), input);
}

// Logging in. Uploads that run go on meanwhile: their URLs are their right.

import { logIn } from '../api.js';
import { h, say, svg } from '../dom.js';
import { t } from '../i18n.js';

export function loginView({ tools, isBusy }) {
  const account = h('input', { id: 'account', name: 'username', autocomplete: 'username', required: true, value: 'admin', spellcheck: 'false', autocapitalize: 'none' });
  const password = h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true });
  const problem = h('p', { class: 'problem', role: 'alert' });
  const submit = h('button', { type: 'submit', class: 'button primary wide' }, t('login.submit'));
  const form = h('form', { class: 'card login', action: '/', on: { submit: enter } },
    h('h1', null, t('login.title')),
    h('p', { class: 'muted' }, isBusy ? t('login.busy') : t('login.words')),
    h('label', { for: 'account' }, t('login.account')), account,
    h('label', { for: 'password' }, t('login.password')), password,
    problem, submit);

  async function enter(event) {
    event.preventDefault();
    submit.disabled = true;
    say(problem, '');
    try {
      await logIn(account.value.trim(), password.value);
    } catch (error) {
      say(problem, error.code === 'ID.1000' ? t('login.wrong') : error.words ?? String(error));
      submit.disabled = false;
      password.select();
    }
  }

  queueMicrotask(() => password.focus());
  return h('div', { class: 'gate' }, h('div', { class: 'gate-tools' }, tools), sea(), h('main', { class: 'gate-main' },
    h('p', { class: 'gate-brand' }, 'Longshore'), h('p', { class: 'gate-line' }, t('login.line')), form));
}

/** Water at the foot of the page. */
function sea() {
  const wave = (y, depth) => {
    let path = `M0 ${y}`;
    for (let x = 0; x < 1440; x += 240) path += `q60 ${depth} 120 0t120 0`;
    return `${path}V200H0Z`;
  };
  return svg('svg', { class: 'sea', viewBox: '0 0 1440 200', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('path', { class: 'far', d: wave(60, -26) }), svg('path', { class: 'mid', d: wave(100, 24) }), svg('path', { class: 'near', d: wave(140, -20) }));
}

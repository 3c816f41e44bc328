// What the scheduler has done, where this server tells it.

import { currentSession, request } from '../api.js';
import { h, keyed, say, toggle } from '../dom.js';
import { duration, exactly, when } from '../format.js';
import { has, t } from '../i18n.js';
import { concernsImages, onNews } from '../live.js';
import { badge, dialog, empty, pager, problemNote } from './parts.js';

const PAGE = 50;

export function scheduleView() {
  let start = 0;
  const body = h('tbody');
  const table = h('table', { class: 'rows', hidden: true },
    h('thead', null, h('tr', null, ['what', 'state', 'started', 'took', 'target'].map((name) => h('th', { scope: 'col', class: `col-${name}` }, t(`col.${name}`))))), body);
  const nothing = h('div', null, h('p', { class: 'muted pad' }, t('loading')));
  const problem = h('div');
  const pages = pager((step) => { start = Math.max(0, start + step * PAGE); load(); });
  const element = h('div', { class: 'view' }, h('div', { class: 'view-head' }, h('h1', null, t('nav.schedule'))),
    h('p', { class: 'muted' }, t('schedule.words')), problem, h('div', { class: 'card table-card' }, table, nothing), pages.element);
  pages.element.hidden = true;
  let offered = true;

  async function load() {
    if (!currentSession() || !offered) return;
    try {
      const pairs = new URLSearchParams({ limit: PAGE, start, sort: '-startTime', replyWithCount: 'true' });
      const { body: found } = await request('GET', `/zstack/v1/scheduler/job/history?${pairs}`);
      const rows = found.inventories ?? [];
      problem.replaceChildren();
      keyed(body, rows, (one) => one.id, historyRow);
      toggle(table, rows.length > 0);
      toggle(nothing, rows.length === 0);
      nothing.replaceChildren(empty('clock', t('schedule.none'), t('schedule.noneWords')));
      pages.show({ start, shown: rows.length, total: Number(found.total ?? rows.length) });
    } catch (error) {
      if (error.status === 404 || error.status === 405) {
        offered = false;
        nothing.replaceChildren(empty('clock', t('schedule.notOffered'), t('schedule.notOfferedWords')));
      } else problem.replaceChildren(problemNote(error));
    }
  }

  const deaf = onNews((news) => (concernsImages(news) ? load() : null));
  load();
  return { element, leave: deaf };
}

function historyRow() {
  let now = null;
  const name = h('button', { type: 'button', class: 'row-name', on: { click: () => historyDialog(now) } });
  const state = h('span', { class: 'badge' });
  const cells = ['started', 'took', 'target'].map((column) => h('td', { class: `col-${column}` }));
  const row = h('tr', null, h('th', { scope: 'row', class: 'col-what' }, name), h('td', { class: 'col-state' }, state), cells);
  row.show = (one) => {
    now = one;
    say(name, one.jobType ?? '–');
    badge(state, one.success == null ? 'Running' : one.success ? 'Succeeded' : 'Failed');
    say(cells[0], when(one.startTime));
    cells[0].title = exactly(one.startTime);
    say(cells[1], duration(Number(one.executeTime)));
    say(cells[2], one.targetResourceUuid ?? '–');
  };
  return row;
}

function historyDialog(one) {
  const rows = Object.entries(one).map(([name, value]) => [h('dt', null, has(`run.${name}`) ? t(`run.${name}`) : name), h('dd', null, h('code', null, typeof value === 'object' ? JSON.stringify(value) : String(value)))]);
  dialog(t('schedule.title'), h('dl', { class: 'facts' }, rows.flat()));
}

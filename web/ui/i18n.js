// The words of the page, in the language of the person.

import en from './words.en.js';
import zh from './words.zh.js';

const WORDS = { en, zh };
const KEPT = 'longshore.language';

let chosen = kept() ?? ((navigator.languages ?? [navigator.language]).find((tag) => /^(zh|en)\b/i.test(tag))?.slice(0, 2).toLowerCase() || 'en');
document.documentElement.lang = chosen === 'zh' ? 'zh-CN' : 'en';

function kept() {
  try {
    const tag = localStorage.getItem(KEPT);
    return tag in WORDS ? tag : null;
  } catch {
    return null;
  }
}

export const language = () => chosen;
export const languageEvents = new EventTarget();

export function speak(tag) {
  chosen = tag;
  document.documentElement.lang = tag === 'zh' ? 'zh-CN' : 'en';
  try {
    localStorage.setItem(KEPT, tag);
  } catch { /* Storage is off: until the page is loaded again. */ }
  languageEvents.dispatchEvent(new Event('change'));
}

/** The words of a key, with `{names}` filled in. What is filled in stays text. */
export function t(key, values = {}) {
  const words = WORDS[chosen][key] ?? en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}

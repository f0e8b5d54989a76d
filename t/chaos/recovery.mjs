// After the faults: every browser logs in at every provider, is shown its identity, has its tokens renewed and logs out;
// then a copy of its cookies shows no identity.

import { setTimeout as sleep } from 'node:timers/promises';
import { blocks, loginPageOf } from './environment.mjs';

const max_renewal = 20;    // seconds, since the failure backoff of a worker may not have ended

export async function checkRecovery(browsers, judge, count) {
  await Promise.all(browsers.map((browser) => useAllBlocks(browser, judge, count)));
}

// Each browser is its own user: a user whose share of the records is full loses the sessions of all browsers.
async function useAllBlocks(browser, judge, count) {
  browser.user = browser.name;
  for (const block of Object.values(blocks)) {
    const fault = await useBlock(browser, block);
    if (fault) judge.violation(`no recovery at ${block.name}`, `${browser.name}: ${fault}`, browser.history().slice(-20));
    else count('recovered logins');
  }
}

async function useBlock(browser, block) {
  const page = loginPageOf(block.name);
  browser.jar.forgetSession(block);
  const login = await browser.login(block, 0);
  if (!login) return 'no login';
  if (await shown(browser, page) !== login.id) return 'not shown after the login';
  const fault = await renews(browser, page, login);
  if (fault) return fault;
  const copy = browser.jar.copy();
  const { status } = await browser.logout(block, 0);
  if (status !== 302 && status !== 200) return `a logout of ${status}`;
  if (!login.ended) return 'a logout that did not count';
  if (await shown(browser, page, copy)) return 'shown after the logout';
  return undefined;
}

async function renews(browser, page, login) {
  const before = login.refreshes;
  const end = Date.now() + max_renewal * 1000;
  while (login.refreshes === before) {
    if (Date.now() > end) return 'no renewal';
    await sleep(500);
    if (await shown(browser, page) !== login.id) return 'not shown while it is renewed';
  }
  return undefined;
}

async function shown(browser, page, jar) {
  const { headers } = await browser.open(page, { leaving: 0, ...jar && { jar } });
  return headers?.['x-login'];
}

// After the storm: every browser logs in at every provider, sees who it is, gets its tokens renewed and logs out, and then
// not even a copy of its cookies shows it.

import { setTimeout as sleep } from 'node:timers/promises';
import { blocks, homeOf } from './world.mjs';

const longest_renewal = 20;    // seconds: a worker may still leave a provider alone that has failed it

export async function calm(browsers, judge, count) {
  await Promise.all(browsers.map((browser) => goThroughAll(browser, judge, count)));
}

// As a person of its own: one whose share of the records is full ends the sessions of all their browsers.
async function goThroughAll(browser, judge, count) {
  browser.person = browser.name;
  for (const block of Object.values(blocks)) {
    const fault = await goThrough(browser, block);
    if (fault) judge.violation(`calm at ${block.name}`, `${browser.name}: ${fault}`, browser.history().slice(-20));
    else count('calm rounds');
  }
}

async function goThrough(browser, block) {
  const home = homeOf(block.name);
  browser.jar.forgetSession(block);
  const login = await browser.login(block, 0);
  if (!login) return 'no login';
  if (await shown(browser, home) !== login.id) return 'not shown after the login';
  const fault = await renews(browser, home, login);
  if (fault) return fault;
  const copy = browser.jar.copy();
  const { status } = await browser.logout(block, 0);
  if (status !== 302 && status !== 200) return `a logout of ${status}`;
  if (!login.ended) return 'a logout that did not count';
  if (await shown(browser, home, copy)) return 'shown after the logout';
  return undefined;
}

async function renews(browser, home, login) {
  const before = login.refreshes;
  const end = Date.now() + longest_renewal * 1000;
  while (login.refreshes === before) {
    if (Date.now() > end) return 'no renewal';
    await sleep(500);
    if (await shown(browser, home) !== login.id) return 'not shown while it is renewed';
  }
  return undefined;
}

async function shown(browser, home, jar) {
  const { headers } = await browser.visit(home, { leaving: 0, ...jar && { jar } });
  return headers?.['x-login'];
}

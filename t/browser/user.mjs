// Chromium, and the actions of its user at the demo's provider: typing, consent, buttons.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';

const library = new URL('../../build/node/node_modules/playwright-core/index.mjs', import.meta.url);
const { chromium } = await import(library);

const SETTINGS = {
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
};

// The contexts of this browser are private windows.
export function launchBrowser() {
  return chromium.launch(SETTINGS);
}

// A window that allows third-party cookies; the profile is created in that directory.
export function openProfile(directory, options) {
  mkdirSync(`${directory}/Default`, { recursive: true });
  const preferences = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } };
  writeFileSync(`${directory}/Default/Preferences`, JSON.stringify(preferences));
  return chromium.launchPersistentContext(directory, { ...SETTINGS, ...options });
}

export async function newPage(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(8000);
  return page;
}

export async function type(page, user, password) {
  await page.fill('#user', '');
  await page.type('#user', user);
  await page.type('#password', password);
  await submit(page, 'Log in');
}

export async function allow(page, application = 'Demo application') {
  assert.equal(await heading(page), `${application} requests your data`);
  await submit(page, 'Allow');
}

async function submit(page, button) {
  await Promise.all([page.waitForNavigation(), page.click(`button:text-is("${button}")`)]);
}

export async function heading(page) {
  return page.textContent('h1');
}

// Chromium, and what a person does in it at the demo's provider: type, allow, press a button.

import assert from 'node:assert/strict';

const library = new URL('../../build/node/node_modules/playwright-core/index.mjs', import.meta.url);
const { chromium } = await import(library);

export function launchBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
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
  assert.equal(await heading(page), `${application} asks for your data`);
  await submit(page, 'Allow');
}

async function submit(page, button) {
  await Promise.all([page.waitForNavigation(), page.click(`button:text-is("${button}")`)]);
}

export async function heading(page) {
  return page.textContent('h1');
}

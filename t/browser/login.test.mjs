// A user's view of logins: typing, tabs, the back button, a wrong password, and the headers that the application behind nginx
// gets. One demo and one Chromium serve all tests; each test begins without cookies and history.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startDemo } from './demo.mjs';
import { allow, heading, launchBrowser, newPage, type } from './user.mjs';

const DEEP = '/private/caf%C3%A9/a%20b%2Fc;d?q=%22x%22&next=https%3A%2F%2Fexample.com%2F&r=a+b&p=100%25&empty=#part';
const onTheWire = (path) => path.replace(/#.*/, '');

let demo;
let browser;

describe('a user with a browser', () => {
  before(async () => {
    demo = await startDemo('login');
    browser = await launchBrowser();
  }, { timeout: 30000 });

  after(async () => {
    await browser?.close();
    demo?.stop();
  }, { timeout: 20000 });

  inBrowser('reads the public page without a login and without a cookie', async (page, context) => {
    const before = providerRequests();
    await page.goto(`${demo.site}/`);
    assert.equal(await heading(page), 'A public page of nginx');
    assert.deepEqual(await context.cookies(), []);
    assert.equal(providerRequests(), before);
    await shot(page, 'public');
  });

  inBrowser('logs in and gets the requested page, query and escapes unchanged', async (page) => {
    await page.goto(demo.site + DEEP);
    assert.ok(page.url().startsWith(`${demo.provider}/interaction/`), page.url());
    await shot(page, 'login');
    await type(page, 'alice', 'wonderland');
    await shot(page, 'consent');
    await allow(page);
    assert.equal(page.url(), demo.site + DEEP);
    assert.equal(await page.textContent('#request'), `GET ${onTheWire(DEEP)}`);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
    await shot(page, 'private');
  });

  inBrowser('reads a second page without a request to the provider', async (page) => {
    await logIn(page, '/private/');
    const before = providerRequests();
    await page.goto(`${demo.site}/private/second?page=2`);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
    await page.reload();
    assert.equal(await heading(page), 'Hello, Alice Liddell');
    assert.equal(providerRequests(), before);
  });

  inBrowser('mistypes the password, sees an error, and logs in with the right one', async (page, context) => {
    await page.goto(`${demo.site}/private/`);
    await type(page, 'alice', 'wunderland');
    assert.equal(await page.textContent('[role=alert]'), 'Wrong user or password.');
    assert.equal(await page.inputValue('#user'), 'alice');
    assert.equal(await sessionCookie(context), undefined);
    await shot(page, 'wrong-password');
    await type(page, 'alice', 'wonderland');
    await allow(page);
    assert.equal(page.url(), `${demo.site}/private/`);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
  });

  inBrowser('cancels the login and gets 403 and no session', async (page, context) => {
    await page.goto(`${demo.site}/private/`);
    const [response] = await Promise.all([
      page.waitForResponse((candidate) => candidate.url().startsWith(`${demo.site}/oidc_callback?`)),
      page.click('text=Cancel'),
    ]);
    assert.equal(response.status(), 403);
    assert.equal(await sessionCookie(context), undefined);
  });

  for (const order of [[0, 1], [1, 0]]) {
    inBrowser(`logs in in two tabs at once, tab ${order[0] + 1} first, and each gets its own page`, async (page, context) => {
      const tabs = [page, await newPage(context)];
      await Promise.all(tabs.map((tab, i) => tab.goto(`${demo.site}/private/tab?number=${i}`)));
      for (const i of order) {
        await finishLogin(tabs[i]);
        assert.equal(tabs[i].url(), `${demo.site}/private/tab?number=${i}`);
        assert.equal(await tabs[i].textContent('#request'), `GET /private/tab?number=${i}`);
      }
    });
  }

  inBrowser('logs in in eight tabs at once, the last one first, and each gets its own page', async (page, context) => {
    const tabs = [page];
    while (tabs.length < 8) tabs.push(await newPage(context));
    await Promise.all(tabs.map((tab, i) => tab.goto(`${demo.site}/private/tab?number=${i}`)));
    for (const [i, tab] of [...tabs.entries()].reverse()) {
      await finishLogin(tab);
      assert.equal(tab.url(), `${demo.site}/private/tab?number=${i}`);
    }
  });

  inBrowser('goes back and forward after the login and sees no error', async (page) => {
    await page.goto(`${demo.site}/`);
    await page.click('text=The private page');
    await finishLogin(page);
    await page.goBack();
    assert.equal(await heading(page), 'This login is over');
    await page.goForward();
    assert.equal(page.url(), `${demo.site}/private/`);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
    while (page.url() !== `${demo.site}/`) await page.goBack();
    const before = providerRequests();
    await page.click('text=A page deep inside');
    assert.equal(page.url(), `${demo.site}/private/reports/2024?sort=name&page=2`);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
    assert.equal(providerRequests(), before);
  });

  inBrowser('opens the callback of a finished login again and is redirected to its page', async (page) => {
    const callback = page.waitForRequest((request) => request.url().startsWith(`${demo.site}/oidc_callback?`));
    await logIn(page, '/private/once?a=b');
    const before = demo.log('provider').split('POST /token').length;
    await page.goto((await callback).url());
    assert.equal(page.url(), `${demo.site}/private/once?a=b`);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
    assert.equal(demo.log('provider').split('POST /token').length, before);
  });

  inBrowser('cannot send its own identity headers to the application', async (page) => {
    await logIn(page, '/private/');
    const forged = { 'X-User': 'mallory', 'X-Name': 'Mallory', 'X-Email': 'm@example.com', 'X-Groups': 'admins' };
    const shown = await fetchJson(page, '/private/', forged);
    assert.equal(shown['x-user'], 'alice');
    assert.equal(shown['x-name'], 'Alice Liddell');
    assert.equal(shown['x-email'], 'alice@example.com');
    assert.equal(shown['x-groups'], 'staff,admins');
    const open = await fetchJson(page, '/open/', forged);
    for (const name of Object.keys(forged)) assert.equal(open[name.toLowerCase()], undefined);
  });

  inBrowser('has a name that is not ASCII', async (page) => {
    await page.goto(`${demo.site}/private/`);
    await type(page, 'zoe', 'looking-glass');
    await allow(page);
    assert.equal(await heading(page), 'Hello, Zoë Bäcker');
  });

  inBrowser('has cookies that scripts cannot read and other sites do not send', async (page, context) => {
    await logIn(page, '/private/');
    const { value, expires, ...flags } = await sessionCookie(context);
    assert.deepEqual(flags, {
      name: 'NGX_OIDC_SESSION', domain: 'localhost', path: '/', httpOnly: true, secure: false, sameSite: 'Lax',
    });
    for (const cookie of await context.cookies(demo.site)) assert.ok(cookie.httpOnly && cookie.sameSite === 'Lax', cookie.name);
    assert.equal(await page.evaluate('document.cookie'), '');
  });

  inBrowser('keeps the session when all processes are restarted', async (page) => {
    await logIn(page, '/private/');
    demo.restart();
    const before = providerRequests();
    await page.reload();
    assert.equal(await heading(page), 'Hello, Alice Liddell');
    assert.equal(providerRequests(), before);
  });
});

// A test in a browser without cookies or history; a failure is kept as a screenshot.
function inBrowser(name, test) {
  it(name, { timeout: 20000 }, async () => {
    const context = await browser.newContext();
    const foreign = [];
    context.on('request', (request) => { if (!ours(request.url())) foreign.push(request.url()); });
    const page = await newPage(context);
    try {
      await test(page, context);
      assert.deepEqual(foreign, [], 'requests to other hosts');
    } catch (error) {
      await shot(page, `failed-${name.replace(/\W+/g, '-')}`);
      throw error;
    } finally {
      await context.close();
    }
  });
}

function ours(url) {
  return [demo.site, demo.provider].includes(new URL(url).origin);
}

async function logIn(page, path) {
  await page.goto(demo.site + path);
  await finishLogin(page);
}

// The provider requests consent once in a browser's session.
async function finishLogin(page) {
  await page.bringToFront();
  await type(page, 'alice', 'wonderland');
  if (page.url().startsWith(demo.provider)) await allow(page);
}

async function sessionCookie(context) {
  return (await context.cookies(demo.site)).find(({ name }) => name === 'NGX_OIDC_SESSION');
}

async function fetchJson(page, path, headers) {
  const { headers: received } = await page.evaluate(async ([url, sent]) => (await fetch(url, { headers: sent })).json(),
    [path, { ...headers, Accept: 'application/json' }]);
  return received;
}

async function shot(page, name) {
  await page.screenshot({ path: `${demo.output}/${name}.png` });
}

function providerRequests() {
  return demo.log('provider').split('\n').length;
}

// A user's view of sessions, at a provider that is not ours: renewal of tokens while pages are read, logout by a link of the
// application and by links of another site, and logout at the provider. The demo itself is one client; the others have their
// own server with an open page and a private one.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { freePorts, startDemo } from './demo.mjs';
import { allow, heading, launchBrowser, newPage, type } from './user.mjs';

const SECRET = 'a-secret-of-the-session-tests-alone';
const LIFE = 5; // seconds, of an access token

// Each name tells what is special about the client. nginx and server are additional directives of its provider block and its
// server, client is additional client metadata.
const CLIENTS = [
  { id: 'brief', nginx: 'token_refresh 1s;', client: { access_token_seconds: LIFE } },
  {
    id: 'brief-offline', scope: 'offline_access', nginx: 'extra_auth_args "prompt=consent"; token_refresh 1s;',
    client: { access_token_seconds: LIFE },
  },
  { id: 'without-sid', client: { backchannel_logout_session_required: false } },
  { id: 'sent-by-any-site', nginx: 'cookie_samesite none;' },
  { id: 'without-end-session', nginx: 'config_url @METADATA@;' },
  { id: 'with-a-policy', server: `add_header Content-Security-Policy "form-action 'self'" always;` },
];

const OTHER_SITE = {
  link: '<a id="bait" href="@LOGOUT@">Win a prize</a>',
  picture: '<img src="@LOGOUT@" alt="">',
  frame: '<iframe src="@LOGOUT@"></iframe>',
  form: '<form method="post" action="@LOGOUT@"><button id="bait">Win a prize</button></form>',
};

// Pages of the site that make a browser request the logout before the user clicks
const AHEAD = {
  prefetch: '<link rel="prefetch" href="/logout">',
  'speculative-prefetch': '<script type="speculationrules">{"prefetch":[{"urls":["/logout"],"eagerness":"immediate"}]}</script>',
  prerender: '<script type="speculationrules">{"prerender":[{"urls":["/logout"],"eagerness":"immediate"}]}</script>',
};
const LOGOUT_LINK = '<a id="logout" href="/logout">Log out</a>';
const LOGOUT_FORM = '<form method="post" action="/logout"><button>Log out</button></form>';

let demo;
let browser;
let sites;     // by client id
let otherSite;

describe('a session', () => {
  before(async () => {
    demo = await startDemo('session', prepare);
    browser = await launchBrowser();
  }, { timeout: 30000 });

  after(async () => {
    await browser?.close();
    demo?.stop();
  }, { timeout: 20000 });

  // --- tokens that expire within seconds

  describe('whose access token expires', { concurrency: 2 }, () => {
    for (const id of ['brief', 'brief-offline']) {
      inBrowser(`continues with new tokens, one refresh at a time, each with a new refresh token (${id})`, async (page) => {
        await logIn(page, id);
        const tokens = [(await headersOfApplication(page))['x-access-token']];
        const sent = await requestsToProvider(page, async () => {
          for (const round of [1, 2, 3, 4]) {
            await accessTokenExpires(page);
            const shown = round % 2 ? await fetchTokens(page, 10) : await reloadedToken(page);
            assert.equal(new Set(shown).size, 1, `round ${round}: all requests get the same token`);
            assert.deepEqual(refreshesOf(id), Array(round).fill('new tokens and a new refresh token'));
            assert.deepEqual(await reloadedToken(page), shown.slice(0, 1), `round ${round}: later requests get it, too`);
            tokens.push(shown[0]);
          }
        });
        assert.equal(new Set(tokens).size, 5);
        assert.deepEqual(sent, [], 'requests of the browser to the provider');
      });
    }
  });

  // --- logging out

  inBrowser('ends by the link of the application, together with the session at the provider', async (page, context) => {
    await logIn(page, 'demo');
    const copy = await sessionCookies(context, 'demo');
    await page.click('text=Log out');
    assert.equal(await heading(page), 'Log out everywhere?');
    assert.ok(page.url().startsWith(`${demo.provider}/session/end?`), page.url());
    await press(page, 'Log out');
    assert.equal(await heading(page), 'A public page of nginx');
    assert.ok(page.url().startsWith(`${demo.site}/?state=`), page.url());
    assert.deepEqual(await sessionCookies(context, 'demo'), []);

    await page.click('text=The private page');
    assert.equal(await heading(page), 'Log in');
    await isRefused(copy, 'demo');
    await finishLogin(page);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
  });

  inBrowser('ends by a form of the application', async (page) => {
    await logIn(page, 'demo');
    await leaves(page, () => page.evaluate(() => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action: '/logout' });
      document.body.append(form);
      form.submit();
    }));
    assert.equal(await heading(page), 'Log out everywhere?');
    await press(page, 'Log out');
    await page.goto(privatePageOf('demo'));
    assert.equal(await heading(page), 'Log in');
  });

  // For Chromium, form-action covers redirects of the form, too.
  inBrowser('ends by a form of a page whose form-action allows its own site only', async (page) => {
    await logIn(page, 'with-a-policy');
    const response = await page.goto(`${sites['with-a-policy']}/form`);
    assert.equal(response.headers()['content-security-policy'], "form-action 'self'");
    await leaves(page, () => page.click('button'));
    await shot(page, 'policy-form');
    await isLoggedOutAtProvider(page, 'with-a-policy');
  });

  inBrowser('ends by the confirmation page in spite of the policy of the site', async (page) => {
    await logIn(page, 'with-a-policy');
    await baited(page, 'link', 'with-a-policy');
    assert.equal(await heading(page), 'Do you want to log out?');
    await leaves(page, () => page.click('button'));
    await shot(page, 'policy-confirmed');
    await isLoggedOutAtProvider(page, 'with-a-policy');
  });

  inBrowser('ends by a link in spite of the policy of the site', async (page) => {
    await logIn(page, 'with-a-policy');
    await page.goto(`${sites['with-a-policy']}/link`);
    await leaves(page, () => page.click('#logout'));
    await isLoggedOutAtProvider(page, 'with-a-policy');
  });

  // --- requests that the user did not make

  for (const how of Object.keys(AHEAD)) {
    inBrowser(`continues when the browser prefetches the logout (${how}), until the link is clicked`, async (page, context, t) => {
      const site = sites['with-a-policy'];
      await logIn(page, 'with-a-policy');
      const before = logouts();
      await page.goto(`${site}/ahead/${how}`);
      if (!await until(() => logouts().length > before.length)) {
        t.skip('this browser does not prefetch in that way');
        return;
      }
      assert.deepEqual([...new Set(logouts().slice(before.length))], ['"alice" GET /logout 503']);
      assert.ok(await isLoggedIn(page, 'with-a-policy'));

      await page.goto(`${site}/ahead/${how}`);
      await leaves(page, () => page.click('#logout'));
      await shot(page, `ahead-${how}`);
      await isLoggedOutAtProvider(page, 'with-a-policy');
    });
  }

  inBrowser('continues when a script of the application requests the logout by GET, and ends by POST', async (page) => {
    await logIn(page, 'demo');
    const send = (method) => page.evaluate(async (how) => (await fetch('/logout', { method: how })).status, method);
    assert.equal(await send('GET'), 503);
    assert.ok(await isLoggedIn(page, 'demo'));
    assert.equal(await send('POST'), 200);
    assert.ok(!await isLoggedIn(page, 'demo'));
  });

  inBrowser('ends even if the user stays logged in at the provider', async (page, context) => {
    await logIn(page, 'demo');
    const copy = await sessionCookies(context, 'demo');
    await page.click('text=Log out');
    await press(page, 'Stay logged in');
    assert.ok(page.url().startsWith(`${demo.site}/?state=`), page.url());
    assert.deepEqual(await sessionCookies(context, 'demo'), []);
    await isRefused(copy, 'demo');

    await page.goto(privatePageOf('demo'));
    if (await heading(page) !== 'Hello, Alice Liddell') await allow(page);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
  });

  inBrowser('ends with a page of nginx if the provider has no end_session_endpoint', async (page, context) => {
    await logIn(page, 'without-end-session');
    const copy = await sessionCookies(context, 'without-end-session');
    await page.click('text=Log out');
    assert.equal(page.url(), `${sites['without-end-session']}/logout`);
    assert.equal(await heading(page), 'You are logged out');
    assert.equal(await page.title(), 'You are logged out');
    await shot(page, 'logged-out');
    assert.deepEqual(await sessionCookies(context, 'without-end-session'), []);
    await isRefused(copy, 'without-end-session');
    await page.reload();
    assert.equal(await heading(page), 'You are logged out');
  });

  // --- requests caused by other sites

  for (const id of ['demo', 'sent-by-any-site']) {
    inBrowser(`continues when a link of another site leads to the logout, until the user confirms it (${id})`, async (page) => {
      await logIn(page, id);
      await baited(page, 'link', id);
      assert.equal(page.url(), `${sites[id]}/logout`);
      assert.equal(await heading(page), 'Do you want to log out?');
      assert.equal(await page.title(), 'Log out?');
      await shot(page, `confirm-${id}`);
      assert.ok(await isLoggedIn(page, id));

      await baited(page, 'link', id);
      await leaves(page, () => page.click('button'));
      assert.equal(await heading(page), 'Log out everywhere?');
      assert.ok(!await isLoggedIn(page, id));
    });
  }

  // Chromium sends no cookie with requests of another site's page.
  for (const [bait, id] of [['picture', 'demo'], ['frame', 'demo'], ['form', 'demo'], ['form', 'sent-by-any-site']]) {
    inBrowser(`continues when a ${bait} of another site requests the logout (${id})`, async (page) => {
      await logIn(page, id);
      const sent = page.waitForRequest(`${sites[id]}/logout`);
      await baited(page, bait, id);
      const hasCookie = 'cookie' in await (await sent).allHeaders();
      assert.equal(hasCookie, id === 'sent-by-any-site');
      await (await (await sent).response())?.finished();    // null if Chromium blocks the response of an image
      if (bait === 'form' && !hasCookie) await page.waitForURL((url) => url.href.startsWith(demo.provider));
      assert.ok(await isLoggedIn(page, id));
    });
  }

  // --- logouts by the provider

  inBrowser('ends when the user logs out at the provider; the session in another browser continues', async (page, context) => {
    const elsewhere = await newContext();
    const otherPage = await newPage(elsewhere);
    for (const tab of [page, otherPage]) await logIn(tab, 'demo');
    const copy = await sessionCookies(context, 'demo');
    const before = backChannelLogouts();

    await logOutAtProvider(page);
    assert.deepEqual(backChannelLogouts(), [...before, '"-" POST /backchannel_logout 200']);
    assert.ok(!await isLoggedIn(page, 'demo'));
    assert.equal(await heading(page), 'Log in');
    await isRefused(copy, 'demo');
    assert.ok(await isLoggedIn(otherPage, 'demo'));
    await elsewhere.close();
  });

  inBrowser('ends in all browsers if the logout token names only the user', async (page) => {
    const elsewhere = await newContext();
    const otherPage = await newPage(elsewhere);
    for (const tab of [page, otherPage]) await logIn(tab, 'without-sid');

    await logOutAtProvider(page);
    for (const tab of [page, otherPage]) assert.ok(!await isLoggedIn(tab, 'without-sid'));
    await elsewhere.close();
  });

  inBrowser('ends when the user logs out of another application', async (page) => {
    await logIn(page, 'demo');
    await logIn(page, 'sent-by-any-site');
    await page.click('text=Log out');
    await press(page, 'Log out');
    await page.goto(privatePageOf('demo'));
    assert.equal(await heading(page), 'Log in');
  });
});

// --- actions of the user

// A test in a browser without cookies or history; a failure is kept as a screenshot.
function inBrowser(name, test) {
  it(name, { timeout: 60000 }, async (t) => {
    const context = await newContext();
    const page = await newPage(context);
    try {
      await test(page, context, t);
    } catch (error) {
      await shot(page, `failed-${name.replace(/\W+/g, '-')}`);
      throw error;
    } finally {
      await context.close();
    }
  });
}

function newContext() {
  return browser.newContext();
}

async function logIn(page, id) {
  await page.goto(privatePageOf(id));
  await finishLogin(page, id);
  assert.equal(page.url(), privatePageOf(id));
  assert.equal(await heading(page), 'Hello, Alice Liddell');
}

// The provider skips steps for a user who is already logged in there.
async function finishLogin(page, id = 'demo') {
  if (await page.isVisible('#password')) await type(page, 'alice', 'wonderland');
  if (page.url().startsWith(demo.provider)) await allow(page, id === 'demo' ? undefined : id);
}

async function press(page, button) {
  await Promise.all([page.waitForNavigation(), page.click(`button:text-is("${button}")`)]);
}

// Waits until the browser is at the provider.
async function leaves(page, action) {
  await Promise.all([page.waitForURL((url) => url.href.startsWith(`${demo.provider}/session/end`)), action()]);
}

// Confirms the logout at the provider; then a login is needed there, too.
async function isLoggedOutAtProvider(page, id) {
  assert.equal(await heading(page), 'Log out everywhere?');
  await press(page, 'Log out');
  await page.goto(privatePageOf(id));
  assert.equal(await heading(page), 'Log in');
}

// Opens the page of the other site, and clicks the bait if there is one.
async function baited(page, bait, id) {
  await page.goto(`${otherSite}/${bait}/${id}`);
  if (await page.isVisible('#bait')) await Promise.all([page.waitForNavigation(), page.click('#bait')]);
}

// Whether the session is valid: no redirect to the provider, which might log the user in again without a page.
async function isLoggedIn(page, id) {
  const sent = await requestsToProvider(page, () => page.goto(privatePageOf(id)));
  return sent.length === 0 && await heading(page) === 'Hello, Alice Liddell';
}

async function requestsToProvider(page, action) {
  const urls = [];
  const note = (request) => { if (request.url().startsWith(demo.provider)) urls.push(request.url()); };
  page.on('request', note);
  await action().finally(() => page.off('request', note));
  return urls;
}

async function logOutAtProvider(page) {
  await page.goto(`${demo.provider}/session/end`);
  await press(page, 'Log out');
  assert.equal(await heading(page), 'Logged out');
}

// Checks that copied cookies are refused.
async function isRefused(cookies, id) {
  assert.notEqual(cookies.length, 0);
  const other = await newContext();
  await other.addCookies(cookies);
  const page = await newPage(other);
  await page.goto(privatePageOf(id));
  assert.equal(await heading(page), 'Log in');
  await other.close();
}

async function sessionCookies(context, id) {
  const name = id === 'demo' ? 'NGX_OIDC_SESSION' : id;
  return (await context.cookies(sites[id])).filter((cookie) => cookie.name === name);
}

// --- tokens, as the application gets them

async function headersOfApplication(page) {
  const [{ headers }] = await fetched(page, 1);
  return headers;
}

async function accessTokenExpires(page) {
  const { 'x-access-token-expires': end } = await page.evaluate(() => Object.fromEntries(
    [...document.querySelectorAll('#headers tr')].map((line) => [...line.children].map((cell) => cell.textContent))));
  await new Promise((resolve) => { setTimeout(resolve, Math.max(0, end * 1000 - Date.now())); });
}

async function fetchTokens(page, number) {
  const responses = await fetched(page, number);
  for (const { headers } of responses) assert.equal(headers['x-user'], 'alice');
  return responses.map(({ headers }) => headers['x-access-token']);
}

async function reloadedToken(page) {
  await page.reload();
  assert.equal(await heading(page), 'Hello, Alice Liddell');
  return [await page.textContent('#headers tr:has(th:text-is("x-access-token")) td')];
}

function fetched(page, number) {
  return page.evaluate((times) => Promise.all(Array.from({ length: times }, async (none, i) => (
    await fetch(`/private/${i}`, { headers: { Accept: 'application/json' } })).json())), number);
}

async function until(isSo) {
  const end = Date.now() + 5000;
  while (!isSo() && Date.now() < end) await new Promise((resolve) => { setTimeout(resolve, 50); });
  return isSo();
}

// --- logs

function logouts() {
  return demo.log('access').split('\n').map((line) => line.replace(/^\S+ /, '')).filter((line) => line.includes(' /logout '));
}

function refreshesOf(id) {
  const refreshes = new RegExp(`^\\S+ (new tokens.*) for ${id} by `);
  return demo.log('provider').split('\n').map((line) => refreshes.exec(line)?.[1]).filter(Boolean);
}

// From nginx's log, not the provider's
function backChannelLogouts() {
  return demo.log('access').split('\n').map((line) => line.replace(/^\S+ /, '')).filter((line) => line.includes(' POST /backchannel_logout '));
}

async function shot(page, name) {
  await page.screenshot({ path: `${demo.output}/${name}.png` });
}

// --- addresses

const privatePageOf = (id) => `${sites[id]}/private/`;

// --- registrations, and nginx's configuration

async function prepare({ site, provider, application }) {
  const [otherPort, ...ports] = await freePorts(1 + CLIENTS.length);
  otherSite = `http://127.0.0.1:${otherPort}`;
  sites = Object.fromEntries(CLIENTS.map(({ id }, i) => [id, `http://localhost:${ports[i]}`]));
  const servers = CLIENTS.map((client, i) => configurationOf(client, ports[i], provider, application));
  const clients = CLIENTS.map((client, i) => registrationOf(client, ports[i]));
  sites.demo = site;
  return {
    clients,
    configuration: [...servers, configurationOfOtherSite(otherPort)].join('\n'),
  };
}

function registrationOf({ id, client }, port) {
  return {
    client_id: id,
    client_name: id,
    client_secret: SECRET,
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: [`${sites[id]}/oidc_callback`],
    post_logout_redirect_uris: [`${sites[id]}/`],
    backchannel_logout_uri: `http://127.0.0.1:${port}/backchannel_logout`,
    backchannel_logout_session_required: true,
    ...client,
  };
}

function configurationOf({ id, scope = '', nginx = '', server = '' }, port, provider, application) {
  const own = { '/form': LOGOUT_FORM, '/link': LOGOUT_LINK };
  for (const [how, html] of Object.entries(AHEAD)) own[`/ahead/${how}`] = html + LOGOUT_LINK;
  const pages = Object.entries(own).map(([path, html]) => `location = ${path} { default_type text/html; return 200 '<!DOCTYPE html>${html}'; }`);
  return `
oidc_provider ${id} {
  issuer ${provider};
  client_id ${id};
  client_secret "${SECRET}";
  cookie_name ${id};
  scope openid profile ${scope};
  logout_uri /logout;
  backchannel_logout_uri /backchannel_logout;
  ${nginx.replace('@METADATA@', `http://127.0.0.1:${port}/metadata`)}
}
server {
  listen 127.0.0.1:${port};
  server_name localhost;
  proxy_set_header X-User $oidc_claim_sub;
  proxy_set_header X-Name $oidc_claim_name;
  proxy_set_header X-Access-Token $oidc_access_token;
  proxy_set_header X-Access-Token-Expires $oidc_access_token_expires;
  ${server}
  ${pages.join('\n  ')}
  location / { proxy_pass ${application}; }
  location /private/ { auth_oidc ${id}; proxy_pass ${application}; }
  location = /favicon.ico { return 204; }
  location = /metadata { default_type application/json; return 200 '${JSON.stringify(metadataWithoutLogout(provider))}'; }
}`;
}

function metadataWithoutLogout(issuer) {
  return {
    issuer,
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  };
}

// Another host name than localhost, so that it is another site for browsers.
function configurationOfOtherSite(port) {
  const pages = Object.entries(OTHER_SITE).flatMap(([bait, html]) => Object.entries(sites).map(
    ([id, site]) => `location = /${bait}/${id} { return 200 '<!DOCTYPE html>${html.replace('@LOGOUT@', `${site}/logout`)}'; }`));
  return `server { listen 127.0.0.1:${port}; default_type text/html; location = /favicon.ico { return 204; } ${pages.join('\n')} }`;
}

// Sessions that last and end, as a person sees it, with a provider that is not ours: tokens renewed while pages are read,
// logging out by a link of the application and by one that another site has put somewhere, and being logged out by the
// provider. The demo itself is one client; others have a server each, with an open page and a private one.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { freePorts, startDemo } from './demo.mjs';
import { allow, heading, launchBrowser, newPage, type } from './person.mjs';

const SECRET = 'a-secret-of-the-session-tests-alone';
const LIFE = 5; // seconds, of an access token

// Whose names say what is special about them; nginx, server and client are directives of the provider's block, of its server,
// and metadata, beside what all have.
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

// Pages of one's own that make a browser ask for the logout before anybody clicks.
const AHEAD = {
  prefetch: '<link rel="prefetch" href="/logout">',
  'speculative-prefetch': '<script type="speculationrules">{"prefetch":[{"urls":["/logout"],"eagerness":"immediate"}]}</script>',
  prerender: '<script type="speculationrules">{"prerender":[{"urls":["/logout"],"eagerness":"immediate"}]}</script>',
};
const LOGOUT_LINK = '<a id="logout" href="/logout">Log out</a>';
const LOGOUT_FORM = '<form method="post" action="/logout"><button>Log out</button></form>';

let demo;
let browser;
let sites;     // of the clients, by id
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

  // --- tokens that end within seconds

  describe('whose access token ends', { concurrency: 2 }, () => {
    for (const id of ['brief', 'brief-offline']) {
      inBrowser(`goes on with new ones, one refresh at a time, each with a new refresh token (${id})`, async (page) => {
        await logIn(page, id);
        const tokens = [(await told(page))['x-access-token']];
        const asked = await requestsToProvider(page, async () => {
          for (const round of [1, 2, 3, 4]) {
            await accessTokenEnds(page);
            const shown = round % 2 ? await askedAtOnce(page, 10) : await askedAgain(page);
            assert.equal(new Set(shown).size, 1, `round ${round}: one token for all`);
            assert.deepEqual(refreshesOf(id), Array(round).fill('new tokens and a new refresh token'));
            assert.deepEqual(await askedAgain(page), shown.slice(0, 1), `round ${round}: and for later requests`);
            tokens.push(shown[0]);
          }
        });
        assert.equal(new Set(tokens).size, 5);
        assert.deepEqual(asked, [], 'requests of the browser to the provider');
      });
    }
  });

  // --- logging out

  inBrowser('ends by the link of the application, and so does the one at the provider', async (page, context) => {
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
    await isWorthless(copy, 'demo');
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

  // Chromium takes a redirect to the provider for the form's own doing.
  inBrowser('ends by a form of a page whose policy lets forms lead to its own site alone', async (page) => {
    await logIn(page, 'with-a-policy');
    const answer = await page.goto(`${sites['with-a-policy']}/form`);
    assert.equal(answer.headers()['content-security-policy'], "form-action 'self'");
    await leaves(page, () => page.click('button'));
    await shot(page, 'policy-form');
    await isLoggedOutAtProvider(page, 'with-a-policy');
  });

  inBrowser('ends by the page to confirm it, whatever the policy of the site', async (page) => {
    await logIn(page, 'with-a-policy');
    await baited(page, 'link', 'with-a-policy');
    assert.equal(await heading(page), 'Do you want to log out?');
    await leaves(page, () => page.click('button'));
    await shot(page, 'policy-confirmed');
    await isLoggedOutAtProvider(page, 'with-a-policy');
  });

  inBrowser('ends by a link, whatever the policy of the site', async (page) => {
    await logIn(page, 'with-a-policy');
    await page.goto(`${sites['with-a-policy']}/link`);
    await leaves(page, () => page.click('#logout'));
    await isLoggedOutAtProvider(page, 'with-a-policy');
  });

  // --- what a browser asks for by itself

  for (const how of Object.keys(AHEAD)) {
    inBrowser(`goes on when the browser loads the logout ahead (${how}), until the link is clicked`, async (page, context, t) => {
      const site = sites['with-a-policy'];
      await logIn(page, 'with-a-policy');
      const before = logouts();
      await page.goto(`${site}/ahead/${how}`);
      if (!await until(() => logouts().length > before.length)) {
        t.skip('this browser loads nothing ahead in that way');
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

  inBrowser('goes on when a script of the application gets the logout, and ends when it posts', async (page) => {
    await logIn(page, 'demo');
    const ask = (method) => page.evaluate(async (how) => (await fetch('/logout', { method: how })).status, method);
    assert.equal(await ask('GET'), 503);
    assert.ok(await isLoggedIn(page, 'demo'));
    assert.equal(await ask('POST'), 200);
    assert.ok(!await isLoggedIn(page, 'demo'));
  });

  inBrowser('ends here, though the person stays logged in at the provider', async (page, context) => {
    await logIn(page, 'demo');
    const copy = await sessionCookies(context, 'demo');
    await page.click('text=Log out');
    await press(page, 'Stay logged in');
    assert.ok(page.url().startsWith(`${demo.site}/?state=`), page.url());
    assert.deepEqual(await sessionCookies(context, 'demo'), []);
    await isWorthless(copy, 'demo');

    await page.goto(privatePageOf('demo'));
    if (await heading(page) !== 'Hello, Alice Liddell') await allow(page);
    assert.equal(await heading(page), 'Hello, Alice Liddell');
  });

  inBrowser('ends with a page of nginx where the provider has no end session endpoint', async (page, context) => {
    await logIn(page, 'without-end-session');
    const copy = await sessionCookies(context, 'without-end-session');
    await page.click('text=Log out');
    assert.equal(page.url(), `${sites['without-end-session']}/logout`);
    assert.equal(await heading(page), 'You are logged out');
    assert.equal(await page.title(), 'You are logged out');
    await shot(page, 'logged-out');
    assert.deepEqual(await sessionCookies(context, 'without-end-session'), []);
    await isWorthless(copy, 'without-end-session');
    await page.reload();
    assert.equal(await heading(page), 'You are logged out');
  });

  // --- what other sites try

  for (const id of ['demo', 'sent-by-any-site']) {
    inBrowser(`goes on when another site's link leads to the logout, until the button is pressed (${id})`, async (page) => {
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

  // Chromium sends no cookie for what is inside another site's page.
  for (const [bait, id] of [['picture', 'demo'], ['frame', 'demo'], ['form', 'demo'], ['form', 'sent-by-any-site']]) {
    inBrowser(`goes on when a ${bait} of another site leads to the logout (${id})`, async (page) => {
      await logIn(page, id);
      const sent = page.waitForRequest(`${sites[id]}/logout`);
      await baited(page, bait, id);
      const hasCookie = 'cookie' in await (await sent).allHeaders();
      assert.equal(hasCookie, id === 'sent-by-any-site');
      await (await (await sent).response())?.finished();    // there is none where Chromium keeps it from a picture
      if (bait === 'form' && !hasCookie) await page.waitForURL((url) => url.href.startsWith(demo.provider));
      assert.ok(await isLoggedIn(page, id));
    });
  }

  // --- what the provider ends

  inBrowser('ends when the person logs out at the provider; the one in another browser goes on', async (page, context) => {
    const elsewhere = await newPerson();
    const otherPage = await newPage(elsewhere);
    for (const tab of [page, otherPage]) await logIn(tab, 'demo');
    const copy = await sessionCookies(context, 'demo');
    const before = backChannelLogouts();

    await logOutAtProvider(page);
    assert.deepEqual(backChannelLogouts(), [...before, '"-" POST /backchannel_logout 200']);
    assert.ok(!await isLoggedIn(page, 'demo'));
    assert.equal(await heading(page), 'Log in');
    await isWorthless(copy, 'demo');
    assert.ok(await isLoggedIn(otherPage, 'demo'));
    await elsewhere.close();
  });

  inBrowser('ends in all browsers where the provider names the user alone', async (page) => {
    const elsewhere = await newPerson();
    const otherPage = await newPage(elsewhere);
    for (const tab of [page, otherPage]) await logIn(tab, 'without-sid');

    await logOutAtProvider(page);
    for (const tab of [page, otherPage]) assert.ok(!await isLoggedIn(tab, 'without-sid'));
    await elsewhere.close();
  });

  inBrowser('ends when the person logs out of another application', async (page) => {
    await logIn(page, 'demo');
    await logIn(page, 'sent-by-any-site');
    await page.click('text=Log out');
    await press(page, 'Log out');
    await page.goto(privatePageOf('demo'));
    assert.equal(await heading(page), 'Log in');
  });
});

// --- what a person does

// A test in a browser without cookies or history; the picture of a failure is kept.
function inBrowser(name, test) {
  it(name, { timeout: 60000 }, async (t) => {
    const context = await newPerson();
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

function newPerson() {
  return browser.newContext();
}

async function logIn(page, id) {
  await page.goto(privatePageOf(id));
  await finishLogin(page, id);
  assert.equal(page.url(), privatePageOf(id));
  assert.equal(await heading(page), 'Hello, Alice Liddell');
}

// The provider asks less of a person whom it knows.
async function finishLogin(page, id = 'demo') {
  if (await page.isVisible('#password')) await type(page, 'alice', 'wonderland');
  if (page.url().startsWith(demo.provider)) await allow(page, id === 'demo' ? undefined : id);
}

async function press(page, button) {
  await Promise.all([page.waitForNavigation(), page.click(`button:text-is("${button}")`)]);
}

// Until the browser is at the provider, by however many pages.
async function leaves(page, action) {
  await Promise.all([page.waitForURL((url) => url.href.startsWith(`${demo.provider}/session/end`)), action()]);
}

// Here and there: at the provider the person is asked, and then unknown.
async function isLoggedOutAtProvider(page, id) {
  assert.equal(await heading(page), 'Log out everywhere?');
  await press(page, 'Log out');
  await page.goto(privatePageOf(id));
  assert.equal(await heading(page), 'Log in');
}

// Visits the other site, and takes the bait if that needs a click.
async function baited(page, bait, id) {
  await page.goto(`${otherSite}/${bait}/${id}`);
  if (await page.isVisible('#bait')) await Promise.all([page.waitForNavigation(), page.click('#bait')]);
}

// By this session: the provider, who knows the person still, would log in anew without a word.
async function isLoggedIn(page, id) {
  const asked = await requestsToProvider(page, () => page.goto(privatePageOf(id)));
  return asked.length === 0 && await heading(page) === 'Hello, Alice Liddell';
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

// To somebody who has copied them.
async function isWorthless(cookies, id) {
  assert.notEqual(cookies.length, 0);
  const thief = await newPerson();
  await thief.addCookies(cookies);
  const page = await newPage(thief);
  await page.goto(privatePageOf(id));
  assert.equal(await heading(page), 'Log in');
  await thief.close();
}

async function sessionCookies(context, id) {
  const name = id === 'demo' ? 'NGX_OIDC_SESSION' : id;
  return (await context.cookies(sites[id])).filter((cookie) => cookie.name === name);
}

// --- tokens, as the application is told of them

async function told(page) {
  const [{ headers }] = await fetched(page, 1);
  return headers;
}

async function accessTokenEnds(page) {
  const { 'x-access-token-expires': end } = await page.evaluate(() => Object.fromEntries(
    [...document.querySelectorAll('#headers tr')].map((line) => [...line.children].map((cell) => cell.textContent))));
  await new Promise((resolve) => { setTimeout(resolve, Math.max(0, end * 1000 - Date.now())); });
}

async function askedAtOnce(page, number) {
  const answers = await fetched(page, number);
  for (const { headers } of answers) assert.equal(headers['x-user'], 'alice');
  return answers.map(({ headers }) => headers['x-access-token']);
}

async function askedAgain(page) {
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

// --- what the logs say

function logouts() {
  return demo.log('access').split('\n').map((line) => line.replace(/^\S+ /, '')).filter((line) => line.includes(' /logout '));
}

function refreshesOf(id) {
  const refreshes = new RegExp(`^\\S+ (new tokens.*) for ${id} by `);
  return demo.log('provider').split('\n').map((line) => refreshes.exec(line)?.[1]).filter(Boolean);
}

// By nginx's word, whatever the provider thinks of it.
function backChannelLogouts() {
  return demo.log('access').split('\n').map((line) => line.replace(/^\S+ /, '')).filter((line) => line.includes(' POST /backchannel_logout '));
}

async function shot(page, name) {
  await page.screenshot({ path: `${demo.output}/${name}.png` });
}

// --- where things are

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

// For a browser another site than localhost, as its name is another.
function configurationOfOtherSite(port) {
  const pages = Object.entries(OTHER_SITE).flatMap(([bait, html]) => Object.entries(sites).map(
    ([id, site]) => `location = /${bait}/${id} { return 200 '<!DOCTYPE html>${html.replace('@LOGOUT@', `${site}/logout`)}'; }`));
  return `server { listen 127.0.0.1:${port}; default_type text/html; location = /favicon.ico { return 204; } ${pages.join('\n')} }`;
}

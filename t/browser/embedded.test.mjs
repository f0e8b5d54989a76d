// A site in frames of other sites, over https. A permissive window of Chromium sends cookies with SameSite=None in frames; a
// strict one blocks third-party cookies, except those in the partition of the top-level site. The provider here responds at
// once, without a page and without a cookie, since pages of providers may not be framed.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { freePorts, startDemo } from './demo.mjs';
import { makeCertificates } from './keys.mjs';
import { launchBrowser, newPage, openProfile } from './user.mjs';

const SECRET = 'a-secret-of-the-embedded-tests-alone';

// The cookie directives of each client
const CLIENTS = {
  partitioned: 'cookie_samesite none; cookie_partitioned on;',
  none: 'cookie_samesite none;',
  lax: 'cookie_samesite lax;',
};

let demo;
let provider;
let browser;
let sites;      // of the clients
let portals;    // two other sites with frames

describe('a site in a frame of another one', () => {
  before(async () => {
    provider = await startProvider();
    demo = await startDemo('embedded', prepare);
    browser = await launchBrowser();
  }, { timeout: 30000 });

  after(async () => {
    await browser?.close();
    demo?.stop();
    provider?.server.close();
  }, { timeout: 20000 });

  for (const [id, window] of [['partitioned', 'strict'], ['partitioned', 'permissive'], ['none', 'permissive']]) {
    inWindow(window, `logs a user in (${id}, ${window})`, async (page, context) => {
      const before = provider.logins;
      assert.equal(await shown(page, portals[0], id), 'Hello, Alice Liddell');
      assert.equal(provider.logins, before + 1);
      await shot(page, `${id}-${window}`);

      const cookies = await context.cookies(sites[id]);
      assert.ok(cookies.some(({ name }) => name === `__Host-${id}`), 'a session cookie');
      assert.ok(cookies.some(({ name }) => name.startsWith(`__Host-${id}_login_`)), 'a login cookie');
      for (const { name, secure, httpOnly, sameSite, path } of cookies) {
        assert.deepEqual([secure, httpOnly, sameSite, path], [true, true, 'None', '/'], name);
      }
      assert.equal(await shown(page, portals[0], id), 'Hello, Alice Liddell');
      assert.equal(provider.logins, before + 1, 'the session continues');
    });
  }

  for (const [id, window] of [['lax', 'permissive'], ['none', 'strict']]) {
    inWindow(window, `logs nobody in if its cookies are not sent (${id}, ${window})`, async (page, context, t) => {
      const before = provider.redeemed;
      const text = await shown(page, portals[0], id);
      if (id === 'none' && text.startsWith('Hello')) {
        t.skip('this browser does not block third-party cookies');
        return;
      }
      assert.equal(text, '400 Bad Request');
      assert.equal(provider.redeemed, before);
    });
  }

  inWindow('permissive', 'has a session for each top-level site and one at the top level (partitioned)', async (page) => {
    const before = provider.logins;
    for (const [number, portal] of portals.entries()) {
      assert.equal(await shown(page, portal, 'partitioned'), 'Hello, Alice Liddell');
      assert.equal(provider.logins, before + number + 1, portal);
    }
    await page.goto(`${sites.partitioned}/private/`);
    assert.equal(provider.logins, before + 3, 'at the top level');

    await shown(page, portals[0], 'partitioned');
    await page.frameLocator('#app').locator('text=Log out').click();
    await page.frameLocator('#app').locator('text=You are logged out').waitFor();
    await shown(page, portals[1], 'partitioned');
    await page.goto(`${sites.partitioned}/private/`);
    assert.equal(provider.logins, before + 3, 'a logout in one frame does not end the other sessions');
    await shown(page, portals[0], 'partitioned');
    assert.equal(provider.logins, before + 4, 'a logout in one frame ends the session of that frame');
  });

  inWindow('permissive', 'has one session in all frames and at the top level (none)', async (page) => {
    await shown(page, portals[0], 'none');
    const before = provider.logins;
    await shown(page, portals[1], 'none');
    await page.goto(`${sites.none}/private/`);
    assert.equal(provider.logins, before);
  });
});

// A test in a window without cookies or history; a failure is kept as a screenshot.
let profiles = 0;
function inWindow(window, name, test) {
  it(name, { timeout: 60000 }, async (t) => {
    const options = { ignoreHTTPSErrors: true };
    const context = window === 'strict' ? await browser.newContext(options)
      : await openProfile(`${demo.output}/profile-${profiles += 1}`, options);
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

// The heading of the frame after its redirects to the provider and back
async function shown(page, portal, id) {
  await page.goto(`${portal}/${id}`);
  return page.frameLocator('#app').locator('h1').textContent();
}

async function shot(page, name) {
  await page.screenshot({ path: `${demo.output}/${name}.png` });
}

// --- the provider, with the user Alice

async function startProvider() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const nonces = new Map();
  const state = { logins: 0, redeemed: 0 };
  const responses = {
    '/.well-known/openid-configuration': () => json({
      issuer: state.issuer,
      authorization_endpoint: `${state.issuer}/authorize`,
      token_endpoint: `${state.issuer}/token`,
      jwks_uri: `${state.issuer}/jwks`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
    }),
    '/jwks': () => json({ keys: [{ ...publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] }),
    '/authorize': ({ searchParams }) => {
      const code = randomBytes(12).toString('base64url');
      nonces.set(code, { aud: searchParams.get('client_id'), nonce: searchParams.get('nonce') });
      state.logins += 1;
      const query = new URLSearchParams({ code, state: searchParams.get('state'), iss: state.issuer });
      return { status: 302, headers: { Location: `${searchParams.get('redirect_uri')}?${query}` } };
    },
    '/token': (url, form) => {
      state.redeemed += 1;
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: state.issuer, sub: 'alice', name: 'Alice Liddell', iat: now, exp: now + 300, ...nonces.get(form.get('code')) };
      const signed = [{ alg: 'ES256' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
      const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url');
      return json({ access_token: 'at', token_type: 'Bearer', expires_in: 300, id_token: `${signed}.${signature}` });
    },
  };
  state.server = createServer(async (req, res) => {
    let body = '';
    for await (const part of req) body += part;
    const url = new URL(req.url, state.issuer);
    const { status = 200, headers = {}, content = '' } = responses[url.pathname]?.(url, new URLSearchParams(body)) ?? { status: 404 };
    res.writeHead(status, headers).end(content);
  });
  await new Promise((resolve) => { state.server.listen(0, '127.0.0.1', resolve); });
  state.issuer = `http://127.0.0.1:${state.server.address().port}`;
  return state;
}

function json(value) {
  return { headers: { 'Content-Type': 'application/json' }, content: JSON.stringify(value) };
}

// --- nginx's configuration

async function prepare({ application }, directory) {
  makeCertificates(directory, 'client.example.com');
  const ids = Object.keys(CLIENTS);
  const [portalPort, ...ports] = await freePorts(1 + ids.length);
  sites = Object.fromEntries(ids.map((id, i) => [id, `https://localhost:${ports[i]}`]));
  // For a browser, each of these hosts is another site.
  portals = [`https://127.0.0.1:${portalPort}`, `https://portal.localhost:${portalPort}`];
  const servers = ids.map((id, i) => configurationOf(id, ports[i], application, directory));
  return { configuration: [...servers, configurationOfPortals(portalPort, directory)].join('\n') };
}

function configurationOf(id, port, application, directory) {
  return `
oidc_provider ${id} {
  issuer ${provider.issuer};
  client_id ${id};
  client_secret "${SECRET}";
  cookie_name ${id};
  scope openid profile;
  logout_uri /logout;
  ${CLIENTS[id]}
}
server {
  ${listening(port, directory)}
  server_name localhost;
  proxy_set_header X-User $oidc_claim_sub;
  proxy_set_header X-Name $oidc_claim_name;
  location / { proxy_pass ${application}; }
  location /private/ { auth_oidc ${id}; proxy_pass ${application}; }
  location = /favicon.ico { return 204; }
}`;
}

function configurationOfPortals(port, directory) {
  const pages = Object.entries(sites).map(([id, site]) => `location = /${id} {
    return 200 '<!DOCTYPE html><title>A portal</title><iframe id="app" width="900" height="600" src="${site}/private/"></iframe>'; }`);
  return `server { ${listening(port, directory)} default_type text/html; location = /favicon.ico { return 204; } ${pages.join('\n')} }`;
}

function listening(port, directory) {
  return `listen 127.0.0.1:${port} ssl; ssl_certificate "${directory}/provider.crt"; ssl_certificate_key "${directory}/provider.key";`;
}

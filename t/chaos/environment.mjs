// The environment: clients at providers, their oidc_provider blocks, the sites, and their pages with what each must show.
// A new provider is a row of `rows`, a new page a row of `pages` and its location in nginx.conf.in.

export const secret = 'secret-of-at-least-thirty-two-bytes';

const hint = 'extra_auth_args "hint=$oidc_claim_sub"';
const atTenants = { cookie: 'T', callback: '/cb/tenant', logout: '/logout/tenant', back: '/back/tenant', front: '/front/tenant' };

// One oidc_provider each. `life` is the lifetime of an access token in seconds; `zone` is true if revocation records are only
// in oidc_state_zone. a and g are two blocks of one client, with the same revocation keys and different session timeouts; d
// is another client of their issuer. e and f share all their paths and the cookie name.
const rows = [
  { name: 'a', issuer: 'a', store: 'cookie', life: 2 },
  { name: 'b', issuer: 'b', store: 'memory', life: 3, more: [hint, 'session_idle_timeout 30m', 'revoke_on_logout on'] },
  { name: 'c', issuer: 'c', store: 'redis', life: 2, more: [hint, 'revoke_on_logout on'] },
  { name: 'd', issuer: 'a', store: 'auto', life: 3, more: ['userinfo on', 'session_idle_timeout 20m'] },
  { name: 'e', issuer: 'e', store: 'cookie', life: 2, ...atTenants },
  { name: 'f', issuer: 'f', store: 'redis', life: 3, ...atTenants },
  { name: 'g', issuer: 'a', client: 'a', store: 'cookie', life: 2, timeout: 20 },
];

export const blocks = Object.fromEntries(rows.map((row) => [row.name, {
  client: row.name,
  cookie: row.name.toUpperCase(),
  callback: `/cb/${row.name}`,
  logout: `/logout/${row.name}`,
  back: `/back/${row.name}`,
  front: `/front/${row.name}`,
  timeout: 1800,
  zone: row.store !== 'redis',
  more: [],
  ...row,
}]));

export const issuers = [...new Set(rows.map((row) => row.issuer))];

export function blockOf(row, issuer) {
  return [
    `issuer "${issuer}"`,
    `client_id ${row.client}`,
    `client_secret ${secret}`,
    `cookie_name ${row.cookie}`,
    `redirect_uri ${row.callback}`,
    `logout_uri ${row.logout}`,
    `backchannel_logout_uri ${row.back}`,
    `frontchannel_logout_uri ${row.front}`,
    `session_store ${row.store}`,
    `session_timeout ${row.timeout}s`,
    'token_refresh 2s',
    'connect_timeout 1s',
    'read_timeout 2s',
    ...row.more,
  ].map((line) => `        ${line};\n`).join('');
}

// `gate`: the provider whose session is needed; `shows`: the provider whose session is shown, '' for none; `inner`: the one
// shown to the page of an auth_request; `open`: 200 without a session, too.
const gated = (name, more) => ({ path: `/${name}/page`, gate: name, shows: name, ...more });
const asking = (name, inner) => ({ path: `/ask/${name}${inner}/page`, gate: name, shows: name, inner });
const withoutIdentity = (path, gate) => ({ path, gate, shows: '', open: !gate });

export const sites = {
  // auth_oidc a for the whole server
  main: {
    hosts: ['localhost'],
    pages: [
      ...['a', 'b', 'c', 'd', 'g'].map((name) => gated(name)),
      asking('a', 'b'), asking('a', 'c'), asking('b', 'c'), asking('c', 'a'), asking('c', 'b'),
      withoutIdentity('/off/page'),
      { path: '/verify/b/page', shows: 'b', open: true },
      { path: '/verify/c/page', shows: 'c', open: true },
      withoutIdentity('/try/c/page', 'c'),
      { path: '/again/b/page', gate: 'b', shows: 'b' },
      withoutIdentity('/missing/c/page', 'c'),
    ],
  },
  // auth_oidc in locations only: a location without it shows the session whose gate the request has passed
  open: {
    hosts: ['localhost'],
    pages: [
      ...['a', 'b', 'c', 'd'].map((name) => gated(name)),
      withoutIdentity('/plain/page'),
      { path: '/try/b/page', gate: 'b', shows: 'b' },
      { path: '/try/c/page', gate: 'c', shows: 'c' },
      { path: '/missing/a/page', gate: 'a', shows: 'a' },
      { path: '/missing/c/page', gate: 'c', shows: 'c' },
    ],
  },
  // auth_oidc by a map of the host
  tenant: {
    hosts: ['e.test', 'f.test'],
    pages: [{ path: '/page', tenant: true }, withoutIdentity('/off/page')],
  },
};

// The page of a block at which its logins begin.
export function loginPageOf(name) {
  if (blocks[name].callback !== '/cb/tenant') return { site: 'main', host: 'localhost', page: gated(name) };
  return { site: 'tenant', host: `${name}.test`, page: { path: '/page', gate: name, shows: name } };
}

export function pageAt(site, host, page) {
  if (!page.tenant) return page;
  const name = host.slice(0, 1);
  return { ...page, gate: name, shows: name };
}

// Chromium visits pages, by HTTP/3 where it is told to. What to do is JSON in the argument, what was seen is JSON on
// stdout.
//
//   directory   for its profile
//   host        a name that is at 127.0.0.1
//   force       host:port of where it speaks nothing but HTTP/3
//   key         base64 of the SHA-256 of the key that the host's certificate may have, whoever has issued that
//   steps       each { goto: url }; with ends: url, where scripts lead on; with until: protocol, again and again until
//               it comes by that
//
// For each step { url, body, hops, error }, a hop being { url, status, protocol, location }.

const library = new URL('../../build/node/node_modules/playwright-core/index.mjs', import.meta.url);
const { chromium } = await import(library);

const TIMEOUT = 30000;    // until something happens
const PAUSE = 200;

const { directory, host, force, key, steps } = JSON.parse(process.argv[2]);

const context = await chromium.launchPersistentContext(directory, {
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--enable-quic', `--origin-to-force-quic-on=${force}`,
    `--host-resolver-rules=MAP ${host} 127.0.0.1`, `--ignore-certificate-errors-spki-list=${key}`],
});

try {
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  let answers = [];
  page.on('response', (answer) => { if (answer.request().isNavigationRequest()) answers.push(answer); });
  const results = [];
  for (const step of steps) {
    const end = Date.now() + TIMEOUT;
    let seen;
    do {
      answers = [];
      seen = await visit(page, step);
      seen.hops = await Promise.all(answers.map(hopOf));
    } while (step.until && seen.hops.at(-1)?.protocol !== step.until && Date.now() < end && await pause());
    results.push(seen);
  }
  process.stdout.write(JSON.stringify(results));
} finally {
  await context.close();
}

async function visit(page, { goto: url, ends }) {
  const way = page.goto(url).then(() => ends && page.waitForURL(ends));
  const error = await way.then(() => undefined, ({ message }) => message.split('\n', 1)[0]);
  const body = await page.textContent('body').catch(() => '');
  return { url: page.url(), body: body.replace(/\s+/g, ' ').slice(0, 100), error };
}

async function hopOf(answer) {
  const protocol = await answer.httpVersion();
  return { url: answer.url(), status: answer.status(), protocol, location: answer.headers().location };
}

function pause() {
  return new Promise((resolve) => { setTimeout(() => resolve(true), PAUSE); });
}

// The HTML pages of the demo: without scripts and without external resources. Every external value goes through escape().

const STYLE = `
  :root { color-scheme: light dark; --line: #8884; --accent: #0b6e4f; --alert: #b3261e }
  @media (prefers-color-scheme: dark) { :root { --accent: #4cc38a; --alert: #ff8a80 } }
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 2rem 1rem; max-width: 46rem }
  body.narrow { max-width: 24rem }
  h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem }
  h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
  label, input { display: block; width: 100%; box-sizing: border-box }
  label { font-weight: 600; margin-top: 1rem }
  input { font: inherit; padding: .5rem; border: 1px solid #888; border-radius: .3rem }
  button { font: inherit; padding: .5rem 1.2rem; margin: 1.5rem .5rem 0 0; border: 1px solid #888; border-radius: .3rem;
           background: none; color: inherit; cursor: pointer }
  button.main { background: var(--accent); border-color: var(--accent); color: Canvas; font-weight: 600 }
  :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
  a { color: var(--accent) }
  .alert { border-left: .3rem solid var(--alert); padding: .5rem .8rem; color: var(--alert) }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line) }
  th { white-space: nowrap; font-weight: 600 }
  td, code { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
  footer { margin-top: 2rem; font-size: .9rem; opacity: .8 }`;

export function escape(text) {
  const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return String(text).replace(/[&<>"']/g, (character) => entities[character]);
}

export function page(title, body, layout = 'wide') {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${STYLE}
</style>
</head>
<body class="${layout}">
${body}
</body>
</html>
`;
}

export function loginPage({ application, user = '', refused = false }) {
  const alert = refused ? '<p class="alert" role="alert">Wrong user or password.</p>' : '';
  // After a wrong password the user name is usually right: focus the password.
  const [atUser, atPassword] = user ? ['', 'autofocus'] : ['autofocus', ''];
  return page('Log in', `<main>
<h1>Log in</h1>
<p>to continue to <strong>${escape(application)}</strong></p>
${alert}
<form method="post">
<label for="user">User</label>
<input id="user" name="user" autocomplete="username" autocapitalize="none" value="${escape(user)}" required ${atUser}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required ${atPassword}>
<button class="main" name="answer" value="login">Log in</button>
<button name="answer" value="cancel" formnovalidate>Cancel</button>
</form>
</main>`, 'narrow');
}

export function consentPage({ application, user, scopes }) {
  const items = scopes.map((scope) => `<li>${escape(SCOPES[scope] ?? scope)}</li>`).join('\n');
  return page('Allow access', `<main>
<h1>${escape(application)} requests your data</h1>
<p>You are logged in as <strong>${escape(user)}</strong>. The application would receive:</p>
<ul>
${items}
</ul>
<form method="post">
<button class="main" name="answer" value="allow" autofocus>Allow</button>
<button name="answer" value="cancel">Cancel</button>
</form>
</main>`, 'narrow');
}

const SCOPES = {
  openid: 'who you are',
  profile: 'your name, groups and roles',
  email: 'your e-mail address',
  offline_access: 'the above also while you are away',
};

export function logoutPage(form) {
  return page('Log out', `<main>
<h1>Log out everywhere?</h1>
${form}
<button class="main" form="op.logoutForm" name="logout" value="yes" autofocus>Log out</button>
<button form="op.logoutForm">Stay logged in</button>
</main>`, 'narrow');
}

export function messagePage({ title, text, application }) {
  const link = application ? `<p><a href="${escape(application)}">To the application</a></p>` : '';
  return page(title, `<main>
<h1>${escape(title)}</h1>
<p>${escape(text)}</p>
${link}
</main>`, 'narrow');
}

// The people who can log in at the demo's provider: name and password as typed, and the claims they come with.

export const users = {
  alice: {
    password: 'wonderland',
    claims: {
      sub: 'alice',
      name: 'Alice Liddell',
      given_name: 'Alice',
      family_name: 'Liddell',
      preferred_username: 'alice',
      picture: 'https://example.com/alice.png',
      email: 'alice@example.com',
      email_verified: true,
      groups: ['staff', 'admins'],
      roles: ['reader', 'editor'],
    },
  },
  // Not every name is ASCII, and not everybody is in every group.
  zoe: {
    password: 'looking-glass',
    claims: {
      sub: 'zoe',
      name: 'Zoë Bäcker',
      given_name: 'Zoë',
      family_name: 'Bäcker',
      preferred_username: 'zoe',
      picture: 'https://example.com/zoe.png',
      email: 'zoe@example.com',
      email_verified: false,
      groups: ['guests'],
      roles: ['reader'],
    },
  },
};

export function login(name, password) {
  const user = Object.hasOwn(users, name) ? users[name] : undefined;
  return user?.password === password ? user : undefined;
}

CREATE TABLE "User" (id text PRIMARY KEY, name text, email text UNIQUE);
CREATE TABLE "Account" ("userId" text NOT NULL, type text NOT NULL, provider text NOT NULL, "providerAccountId" text NOT NULL,
  refresh_token text, access_token text, expires_at integer, token_type text, scope text, id_token text,
  PRIMARY KEY (provider, "providerAccountId"));
INSERT INTO "User" VALUES ('u1', 'Ada', 'ada@example.com'), ('u2', NULL, 'bob@example.com');
INSERT INTO "Account" ("userId", type, provider, "providerAccountId", refresh_token, access_token, expires_at, scope) VALUES
  ('u1', 'oauth', 'facebook', '77', NULL, 'sim-fb-1', 1801137600, NULL),
  ('u1', 'oauth', 'google', '108', 'sim-refresh-2', 'sim-yt-2', 1796000000,
    'openid https://www.googleapis.com/auth/youtube.upload'),
  ('u2', 'oidc', 'google', '109', NULL, 'sim-login-3', 1796000000, 'openid email profile'),
  ('u2', 'oauth', 'twitter', '17', 'sim-refresh-4', 'sim-x-4', 1796000000, 'tweet.read tweet.write users.read offline.access'),
  ('u2', 'oauth', 'github', '9', NULL, 'sim-github-5', NULL, 'read:user'),
  ('u2', 'email', 'tiktok', '-000tik', NULL, NULL, NULL, NULL)

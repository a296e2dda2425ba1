CREATE TABLE "user" (id text PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE);
CREATE TABLE account (id text PRIMARY KEY, "accountId" text NOT NULL, "providerId" text NOT NULL, "userId" text NOT NULL,
  "accessToken" text, "refreshToken" text, "idToken" text, "accessTokenExpiresAt" timestamp, "refreshTokenExpiresAt" timestamp,
  scope text, password text);
INSERT INTO "user" VALUES ('u1', 'Ada', 'ada@example.com'), ('u2', 'Bob', 'bob@example.com');
INSERT INTO account (id, "accountId", "providerId", "userId", "accessToken", "refreshToken", "accessTokenExpiresAt",
  "refreshTokenExpiresAt", scope) VALUES
  ('a1', '77', 'facebook', 'u1', 'sim-fb-1', NULL, '2027-01-29 12:00:00', NULL, 'email,public_profile'),
  ('a2', '108', 'google', 'u1', 'sim-yt-2', 'sim-refresh-2', '2026-12-01 00:00:00', NULL,
    'openid,https://www.googleapis.com/auth/youtube.readonly'),
  ('a3', '109', 'google', 'u2', 'sim-login-3', NULL, '2026-12-01 00:00:00', NULL, 'openid,email'),
  ('a4', '-000tik', 'tiktok', 'u2', 'sim-tiktok-4', 'sim-refresh-4', '2026-12-01 00:00:00', '2027-11-01 00:00:00', 'user.info.profile'),
  ('a5', 'u2', 'credential', 'u2', NULL, NULL, NULL, NULL, NULL)

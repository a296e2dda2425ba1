CREATE TABLE users (id text PRIMARY KEY, email text NOT NULL UNIQUE, display_name text);
CREATE TABLE workspaces (id text PRIMARY KEY, organization_id text, name text NOT NULL);
CREATE TABLE oauth_grants (id text PRIMARY KEY, workspace_id text NOT NULL, provider text NOT NULL,
  provider_subject text NOT NULL DEFAULT '', instance_url text NOT NULL DEFAULT '', access_token_encrypted bytea NOT NULL,
  refresh_token_encrypted bytea, access_token_expires_at timestamptz, refresh_token_expires_at timestamptz,
  granted_scopes text NOT NULL DEFAULT '', consented_by_id text NOT NULL DEFAULT '',
  validation_status text NOT NULL DEFAULT 'valid', last_refresh_error text NOT NULL DEFAULT '', revoked_at timestamptz);
CREATE TABLE social_accounts (id text PRIMARY KEY, workspace_id text NOT NULL, slug text NOT NULL, platform text NOT NULL,
  account_id text NOT NULL, account_username text, oauth_grant_id text NOT NULL DEFAULT '', is_active boolean DEFAULT true,
  capability_state_json text NOT NULL DEFAULT '{}');
INSERT INTO users VALUES ('u1', 'ada@example.com', 'Ada');
INSERT INTO workspaces VALUES ('w1', 'o1', 'Bakery');
INSERT INTO oauth_grants VALUES
  ('g1', 'w1', 'facebook', '77', '', {{bytes: AES-256-GCM, base64}}, NULL, '2027-01-29T12:00:00Z', NULL,
    'pages_show_list pages_manage_posts', 'u1', 'valid', '', NULL),
  ('g2', 'w1', 'mastodon', '109', 'https://social.example', {{bytes: AES-256-GCM, base64}}, NULL, NULL, NULL,
    'read write', '', 'valid', '', NULL),
  ('g3', 'w1', 'tiktok', 'open-id', '', {{bytes: AES-256-GCM, base64}}, {{hex: aa}}, '2026-12-01T00:00:00Z',
    '2027-11-01T00:00:00Z', 'user.info.basic,video.publish', 'u1', 'refresh_failed', 'invalid_grant', NULL),
  ('g4', 'w1', 'x', '17', '', {{hex: aa}}, NULL, NULL, NULL, '', 'u1', 'revoked', '', '2026-11-01T00:00:00Z');
INSERT INTO social_accounts (id, workspace_id, slug, platform, account_id, account_username, oauth_grant_id, is_active) VALUES
  ('a1', 'w1', 'bakery-ig', 'instagram', '17841400000000001', 'bakery', 'g1', true),
  ('a2', 'w1', 'bakery', 'facebook', '1000001', 'Bakery', 'g1', true),
  ('a3', 'w1', 'cafe', 'facebook', '1000002', '', 'g1', true),
  ('a4', 'w1', 'fedi', 'mastodon', '109', 'acme', 'g2', true),
  ('a5', 'w1', 'tik', 'tiktok', '-000tik', 'acme dances', 'g3', true),
  ('a6', 'w1', 'x', 'x', '17', 'acme', 'g4', true),
  ('a7', 'w1', 'off', 'facebook', '1000003', 'Off', 'g1', false)

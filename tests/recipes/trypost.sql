CREATE TABLE users (id uuid PRIMARY KEY, name varchar(255) NOT NULL, email varchar(255) NOT NULL UNIQUE);
CREATE TABLE workspaces (id uuid PRIMARY KEY, user_id uuid NOT NULL, name varchar(255) NOT NULL);
CREATE TABLE social_accounts (id uuid PRIMARY KEY, workspace_id uuid NOT NULL, platform varchar(255) NOT NULL,
  platform_user_id varchar(255) NOT NULL, username varchar(255), display_name varchar(255), avatar_url varchar(255),
  access_token text NOT NULL, refresh_token text, token_expires_at timestamp(0), scopes json, meta json,
  status varchar(255) NOT NULL DEFAULT 'connected', is_active boolean NOT NULL DEFAULT true, error_message text,
  disconnected_at timestamp(0), last_used_at timestamp(0));
INSERT INTO users VALUES ('00000000-0000-4000-8000-0000000000aa', 'Ada', 'ada@example.com');
INSERT INTO workspaces VALUES ('00000000-0000-4000-8000-0000000000bb', '00000000-0000-4000-8000-0000000000aa', 'Bakery');
INSERT INTO social_accounts (id, workspace_id, platform, platform_user_id, username, display_name, access_token, refresh_token,
  token_expires_at, meta, status, is_active) VALUES
  ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000bb', 'facebook', '1000001', 'bakery', 'Bakery', '{{known: Laravel, AES-256-CBC}}', NULL, '2027-01-29 12:00:00', NULL, 'connected', true),
  ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000bb', 'linkedin-page', '4711', NULL, 'ACME Inc.', '{{laravel: sim-li-2}}', '{{laravel: sim-refresh-2}}', '2027-01-10 12:00:00', NULL, 'token_expired', true),
  ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-0000000000bb', 'mastodon', '109', 'acme', 'Fediverse', '{{laravel: sim-masto-3}}', NULL, NULL, '{"instance": "https://social.example"}', 'connected', true),
  ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-0000000000bb', 'x', '17', 'acme', NULL, '{{laravel: sim-x-4}}', '{{laravel: sim-refresh-4}}', '2026-12-01 01:00:00', NULL, 'disconnected', true),
  ('00000000-0000-4000-8000-000000000005', '00000000-0000-4000-8000-0000000000bb', 'tiktok', '-000tik', 'tik', 'Off', '{{laravel: sim-tiktok-5}}', NULL, NULL, NULL, 'connected', false)

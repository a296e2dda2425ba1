CREATE TABLE mixpost_accounts (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, uuid char(36) NOT NULL UNIQUE, name varchar(255),
  username varchar(255), media json, provider varchar(255) NOT NULL, provider_id varchar(255) NOT NULL, data json,
  authorized tinyint(1) NOT NULL DEFAULT 0, access_token longtext NOT NULL, created_at timestamp NULL, updated_at timestamp NULL);
INSERT INTO mixpost_accounts (uuid, name, username, provider, provider_id, data, authorized, access_token) VALUES
  ('5d0c0000-0000-4000-8000-000000000001', 'Bakery', NULL, 'facebook_page', '1000001', NULL, 1, '{{known: Laravel, JSON inside}}'),
  ('5d0c0000-0000-4000-8000-000000000002', 'Cafe', NULL, 'facebook_page', '1000002', NULL, 0, '{{known: Laravel, JSON inside}}'),
  ('5d0c0000-0000-4000-8000-000000000003', 'ACME on X', 'acme', 'twitter', '17', NULL, 1,
    '{{laravel: {"oauth_token":"sim-x-3","oauth_token_secret":"sim-secret-3"}}}'),
  ('5d0c0000-0000-4000-8000-000000000004', 'Fediverse', 'acme', 'mastodon', '109', '{"server": "social.example"}', 1,
    '{{laravel: {"access_token":"sim-masto-4"}}}'),
  ('5d0c0000-0000-4000-8000-000000000005', 'ACME TV', NULL, 'youtube', 'UCabcdefghijklmnopqrstuv', NULL, 1,
    '{{laravel: {"access_token":"sim-yt-5","refresh_token":"sim-refresh-5","expires_in":1800000000}}}'),
  ('5d0c0000-0000-4000-8000-000000000006', 'Group', NULL, 'facebook_group', '6', NULL, 1, '{{laravel: {"access_token":"sim-6"}}}'),
  ('5d0c0000-0000-4000-8000-000000000007', 'Restored', NULL, 'linkedin_page', '4711', NULL, 1, 'sim-not-encrypted')

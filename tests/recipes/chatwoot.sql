CREATE TABLE accounts (id serial PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE users (id serial PRIMARY KEY, name varchar NOT NULL, email varchar);
CREATE TABLE account_users (id bigserial PRIMARY KEY, account_id bigint, user_id bigint, role integer DEFAULT 0);
CREATE TABLE inboxes (id serial PRIMARY KEY, channel_id integer NOT NULL, account_id integer NOT NULL, name varchar NOT NULL,
  channel_type varchar);
CREATE TABLE channel_facebook_pages (id serial PRIMARY KEY, page_id varchar NOT NULL, user_access_token varchar NOT NULL,
  page_access_token varchar NOT NULL, account_id integer NOT NULL, instagram_id varchar);
CREATE TABLE channel_instagram (id bigserial PRIMARY KEY, access_token varchar NOT NULL, expires_at timestamp(6) NOT NULL,
  account_id integer NOT NULL, instagram_id varchar NOT NULL);
CREATE TABLE channel_tiktok (id bigserial PRIMARY KEY, account_id integer NOT NULL, business_id varchar NOT NULL,
  access_token varchar NOT NULL, expires_at timestamp NOT NULL, refresh_token varchar NOT NULL,
  refresh_token_expires_at timestamp NOT NULL);
INSERT INTO accounts VALUES (1, 'Bakery'), (2, 'Café');
INSERT INTO users VALUES (1, 'Ada', 'ada@example.com'), (2, 'Bob', 'bob@example.com');
INSERT INTO account_users (account_id, user_id, role) VALUES (1, 1, 1), (1, 2, 0), (2, 1, 1), (2, 2, 1);
INSERT INTO channel_facebook_pages VALUES (1, '1000001', '{{known: Rails, SHA-256}}', '{{known: Rails, SHA-256}}', 1, NULL),
  (2, '1000002', 'sim-old-clear', 'sim-page-2', 1, '17841400000000001'), (3, '1000003', 'sim-old-clear', 'sim-page-3', 2, NULL),
  (4, '1000004', 'sim-without-inbox', 'sim-page-4', 2, NULL);
INSERT INTO channel_instagram VALUES (1, '{{known: Rails, SHA-256, compressed}}', '2027-01-29 12:00:00', 2, '17841400000000002');
INSERT INTO channel_tiktok VALUES (1, 2, '-000tik', '{{known: Rails, SHA-256, deterministic}}', '2026-12-01', '{{known: Rails, SHA-256}}',
  '2027-11-01');
INSERT INTO inboxes (channel_id, account_id, name, channel_type) VALUES (1, 1, 'Bakery page', 'Channel::FacebookPage'),
  (2, 1, 'Old page', 'Channel::FacebookPage'), (3, 2, 'Second page', 'Channel::FacebookPage'),
  (1, 2, 'cafe', 'Channel::Instagram'), (1, 2, 'ACME dances', 'Channel::Tiktok'), (1, 2, 'Mail', 'Channel::Email')

CREATE SCHEMA nango;
CREATE TABLE nango._nango_environments (id serial PRIMARY KEY, name varchar(255) NOT NULL);
CREATE TABLE nango._nango_configs (id serial PRIMARY KEY, unique_key varchar(255) NOT NULL, provider varchar(255) NOT NULL,
  environment_id integer NOT NULL, deleted boolean NOT NULL DEFAULT false);
CREATE TABLE nango.end_users (id serial PRIMARY KEY, end_user_id varchar(255) NOT NULL, email varchar(255), display_name varchar(255));
CREATE TABLE nango._nango_connections (id serial PRIMARY KEY, config_id integer NOT NULL, end_user_id integer,
  provider_config_key varchar(255) NOT NULL, connection_id varchar(255) NOT NULL, environment_id integer NOT NULL,
  credentials json NOT NULL, credentials_iv varchar(255), credentials_tag varchar(255), created_at timestamptz NOT NULL DEFAULT now(),
  credentials_expires_at timestamptz, last_refresh_success timestamptz, last_refresh_failure timestamptz,
  refresh_attempts smallint, refresh_exhausted boolean NOT NULL DEFAULT false, deleted boolean NOT NULL DEFAULT false);
INSERT INTO nango._nango_environments VALUES (1, 'prod');
INSERT INTO nango._nango_configs VALUES (1, 'fb-prod', 'facebook', 1), (2, 'x-old', 'twitter', 1), (3, 'yt', 'youtube', 1),
  (4, 'crm', 'hubspot', 1);
INSERT INTO nango.end_users VALUES (1, 'eu-1', 'ada@example.com', 'Ada');
INSERT INTO nango._nango_connections (config_id, end_user_id, provider_config_key, connection_id, environment_id, credentials,
  credentials_iv, credentials_tag, created_at, credentials_expires_at, last_refresh_success, last_refresh_failure,
  refresh_exhausted, deleted) VALUES
  (1, 1, 'fb-prod', 'c-1', 1, '{"encrypted_credentials": "{{known: AES-256-GCM, in columns}}"}', 'D6R7/SrXyOYC9yl2',
    'hIiu4X72P/aM4euCmWlz6A==', '2026-11-01', '2027-01-01T00:00:00Z', NULL, NULL, false, false),
  (2, NULL, 'x-old', 'c-2', 1, '{"type": "OAUTH1", "oauth_token": "sim-x-2", "oauth_token_secret": "sim-secret-2"}', NULL, NULL,
    '2026-11-01', NULL, NULL, NULL, false, false),
  (3, 1, 'yt', 'c-3', 1, '{"type": "OAUTH2", "access_token": "sim-yt-3", "refresh_token": "sim-refresh-3"}', NULL, NULL,
    '2026-11-01', '2026-12-01T00:00:00Z', '2026-11-20', '2026-11-25', false, false),
  (3, NULL, 'yt', 'c-4', 1, '{"type": "OAUTH2", "access_token": "sim-yt-4", "refresh_token": "sim-refresh-4"}', NULL, NULL,
    '2026-11-01', '2026-11-02T00:00:00Z', NULL, '2026-11-25', true, false),
  (4, 1, 'crm', 'c-5', 1, '{"access_token": "sim-crm"}', NULL, NULL, '2026-11-01', NULL, NULL, NULL, false, false),
  (1, 1, 'fb-prod', 'c-6', 1, '{"access_token": "sim-gone"}', NULL, NULL, '2026-11-01', NULL, NULL, NULL, false, true)

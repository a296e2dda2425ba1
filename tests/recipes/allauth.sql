CREATE TABLE auth_user (id serial PRIMARY KEY, username varchar(150) NOT NULL UNIQUE, email varchar(254) NOT NULL);
CREATE TABLE socialaccount_socialaccount (id serial PRIMARY KEY, provider varchar(200) NOT NULL, uid varchar(191) NOT NULL,
  user_id integer NOT NULL, extra_data jsonb NOT NULL DEFAULT '{}');
CREATE TABLE socialaccount_socialtoken (id serial PRIMARY KEY, token text NOT NULL, token_secret text NOT NULL,
  expires_at timestamptz, account_id integer NOT NULL, app_id integer);
INSERT INTO auth_user VALUES (1, 'ada', 'ada@example.com'), (2, 'bob', '');
INSERT INTO socialaccount_socialaccount (id, provider, uid, user_id) VALUES (1, 'facebook', '77', 1), (2, 'twitter', '17', 1),
  (3, 'linkedin_oauth2', 'AbCdEf', 2), (4, 'google', '108', 1), (5, 'github', '9', 2), (6, 'twitter_oauth2', '18', 2);
INSERT INTO socialaccount_socialtoken VALUES (1, 'sim-fb-1', '', '2027-01-29T12:00:00Z', 1, 1), (2, 'sim-x-2', 'sim-secret-2', NULL, 2, 2),
  (3, 'sim-li-3', 'sim-refresh-3', '2027-01-10T12:00:00Z', 3, 3), (4, 'sim-google-4', 'sim-refresh-4', NULL, 4, 4),
  (5, 'sim-github-5', '', NULL, 5, 5), (6, 'sim-x-6', 'sim-refresh-6', '2026-12-01T00:00:00Z', 6, 2)

CREATE TABLE "Organization" (id text PRIMARY KEY, name text NOT NULL);
CREATE TYPE "Role" AS ENUM ('SUPERADMIN', 'ADMIN', 'USER');
CREATE TABLE "User" (id text PRIMARY KEY, email text NOT NULL, name text, "sendFailureEmails" boolean NOT NULL DEFAULT true);
CREATE TABLE "UserOrganization" (id text PRIMARY KEY, "userId" text NOT NULL, "organizationId" text NOT NULL,
  disabled boolean NOT NULL DEFAULT false, role "Role" NOT NULL DEFAULT 'USER');
CREATE TABLE "Customer" (id text PRIMARY KEY, name text NOT NULL, "orgId" text NOT NULL, "deletedAt" timestamp(3));
CREATE TABLE "Integration" (id text PRIMARY KEY, "internalId" text NOT NULL, "rootInternalId" text,
  "organizationId" text NOT NULL, name text NOT NULL, picture text, "providerIdentifier" text NOT NULL, type text NOT NULL,
  token text NOT NULL, disabled boolean NOT NULL DEFAULT false, "tokenExpiration" timestamp(3), "refreshToken" text,
  profile text, "deletedAt" timestamp(3), "inBetweenSteps" boolean NOT NULL DEFAULT false,
  "refreshNeeded" boolean NOT NULL DEFAULT false, "customInstanceDetails" text, "customerId" text);
INSERT INTO "Organization" VALUES ('o1', 'ACME');
INSERT INTO "User" VALUES ('u1', 'ada@example.com'), ('u2', 'bob@example.com'), ('u3', 'eve@example.com'), ('u4', 'dan@example.com');
UPDATE "User" SET "sendFailureEmails" = false WHERE id = 'u4';
INSERT INTO "UserOrganization" VALUES ('1', 'u1', 'o1', false, 'SUPERADMIN'), ('2', 'u2', 'o1', false, 'ADMIN'),
  ('3', 'u3', 'o1', false, 'USER'), ('4', 'u4', 'o1', false, 'ADMIN');
INSERT INTO "Customer" VALUES ('c1', 'Bakery', 'o1');
INSERT INTO "Integration" (id, "internalId", "rootInternalId", "organizationId", name, "providerIdentifier", type, token,
  "refreshToken", "tokenExpiration", "customerId") VALUES
  ('01', '1000001', 'p_77', 'o1', 'Bakery', 'facebook', 'social', 'sim-page-1', 'sim-user-1', '2027-01-29', 'c1'),
  ('02', '1000002', 'p_77', 'o1', 'Bakery 2', 'facebook', 'social', 'sim-page-2', 'sim-user-1', '2027-01-29', 'c1'),
  ('03', '1000003', 'p_78', 'o1', 'Reconnected', 'facebook', 'social', 'sim-page-3', '1000003', '2027-01-29', NULL),
  ('04', '1000004', 'p_79', 'o1', 'Lost', 'facebook', 'social', 'sim-page-4', '', '2027-01-29', NULL),
  ('05', '17841400000000001', 'p_77', 'o1', 'bakery', 'instagram', 'social', 'sim-page-5', 'sim-user-5', '2027-01-29', NULL),
  ('06', '17841400000000002', NULL, 'o1', 'cafe', 'instagram-standalone', 'social', 'sim-ig-6', 'sim-ig-6', '2027-01-28', NULL),
  ('07', '1400000000000000007', NULL, 'o1', 'ACME on X', 'x', 'social', 'sim-x-7:sim-secret-7', '', '2058-08-09', NULL),
  ('08', '000abc0000def', NULL, 'o1', 'ACME dances', 'tiktok', 'social', 'sim-tiktok-8', 'sim-refresh-8', '2026-12-01', NULL),
  ('09', '-000BuSiNeSs_id', NULL, 'o1', 'ACME sells', 'tiktok-business', 'social', 'sim-business-9', 'sim-refresh-9', NULL, NULL),
  ('10', 'UCabcdefghijklmnopqrstuv', NULL, 'o1', 'ACME TV', 'youtube', 'social', 'sim-yt-10', 'sim-refresh-10', NULL, NULL),
  ('11', '108000000000000000011', NULL, 'o1', 'Old TV', 'youtube', 'social', 'sim-yt-11', 'sim-refresh-11', NULL, NULL),
  ('12', 'accounts/5/locations/12345', NULL, 'o1', 'Shop', 'gmb', 'social', 'sim-gmb-12', 'sim-refresh-12', NULL, NULL),
  ('13', 'AbCdEf', NULL, 'o1', 'Ada', 'linkedin', 'social', 'sim-li-13', '', NULL, NULL),
  ('14', '4711', NULL, 'o1', 'ACME Inc.', 'linkedin-page', 'social', 'sim-li-14', 'sim-refresh-14', NULL, NULL),
  ('15', '109', NULL, 'o1', 'acme@mastodon.social', 'mastodon', 'social', 'sim-masto-15', 'null', '2126-01-01', NULL),
  ('16', 'did:plc:16', NULL, 'o1', 'acme.bsky.social', 'bluesky', 'social', 'sim-bsky-16', 'sim-refresh-16', NULL, NULL),
  ('17', 'C17', NULL, 'o1', 'Slack', 'slack', 'social', 'sim-slack-17', '', NULL, NULL),
  ('18', 'a18', NULL, 'o1', 'Blog', 'devto', 'article', 'sim-blog-18', '', NULL, NULL),
  ('19', '1000019', NULL, 'o1', 'Deleted', 'facebook', 'social', 'sim-page-19', 'sim-user-19', NULL, NULL),
  ('20', '1000020', NULL, 'o1', 'Off', 'facebook', 'social', 'sim-page-20', 'sim-user-20', NULL, NULL),
  ('21', '1000021', NULL, 'o1', 'Half', 'facebook', 'social', 'sim-page-21', 'sim-user-21', NULL, NULL),
  ('22', '1000022', NULL, 'o1', 'Bad row', 'pinterest', 'social', 'sim pin 22', 'sim-refresh-22', NULL, NULL);
UPDATE "Integration" SET "deletedAt" = now() WHERE id = '19';
UPDATE "Integration" SET disabled = true WHERE id = '20';
UPDATE "Integration" SET "inBetweenSteps" = true WHERE id = '21';
UPDATE "Integration" SET "refreshNeeded" = true WHERE id IN ('04', '08')

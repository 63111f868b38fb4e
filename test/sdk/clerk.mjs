// Drives the sandbox with Clerk's own SDK for back ends, as a user would after changing only apiUrl; a test of the sandbox
// runs it.
import assert from "node:assert/strict";
import { createClerkClient, verifyToken } from "@clerk/backend";
import { isClerkAPIResponseError } from "@clerk/backend/errors";

const [base] = process.argv.slice(2);
const apiUrl = `${base}/clerk`;
const { CLERK_SECRET_KEY: secretKey, CLERK_PUBLISHABLE_KEY: publishableKey, CLERK_ISSUER: issuer } = await (await fetch(`${base}/control/environment`)).json();
const clerk = createClerkClient({ secretKey, publishableKey, apiUrl });
const made = {};

const steps = {
  async "users"() {
    made.user = await clerk.users.createUser({ emailAddress: ["ada@example.test"], firstName: "Ada", password: "correct horse battery" });
    assert.equal((await clerk.users.updateUser(made.user.id, { lastName: "Lovelace" })).lastName, "Lovelace");
    assert.deepEqual((await clerk.users.updateUserMetadata(made.user.id, { publicMetadata: { plan: "pro" } })).publicMetadata, { plan: "pro" });
    assert.equal((await clerk.users.getUserList({ emailAddress: ["ada@example.test"] })).totalCount, 1);
    made.other = await clerk.users.createUser({ emailAddress: ["bob@example.test"] });
    assert.equal(await clerk.users.getCount(), 2);
  },
  async "states of a user"() {
    assert.equal((await clerk.users.banUser(made.user.id)).banned, true);
    assert.equal((await clerk.users.unbanUser(made.user.id)).banned, false);
    assert.equal((await clerk.users.lockUser(made.user.id)).locked, true);
    assert.equal((await clerk.users.unlockUser(made.user.id)).locked, false);
    for (const deprovisioned of [true, false]) {
      const answer = await fetch(`${base}/control/clerk/users/${made.user.id}`, { method: "PATCH", body: JSON.stringify({ deprovisioned }) });
      assert.equal(answer.status, 200);
      assert.equal((await clerk.users.getUser(made.user.id)).deprovisioned, deprovisioned);
    }
  },
  async "e-mail addresses"() {
    const address = await clerk.emailAddresses.createEmailAddress({ userId: made.user.id, emailAddress: "ada2@example.test", verified: true });
    assert.equal((await clerk.users.getUser(made.user.id)).emailAddresses.length, 2);
    await clerk.emailAddresses.deleteEmailAddress(address.id);
  },
  async "organizations and memberships"() {
    const organization = await clerk.organizations.createOrganization({ name: "Acme", createdBy: made.user.id });
    const of = { organizationId: organization.id, userId: made.other.id };
    await clerk.organizations.createOrganizationMembership({ ...of, role: "org:member" });
    assert.equal((await clerk.organizations.updateOrganizationMembership({ ...of, role: "org:admin" })).role, "org:admin");
    assert.equal((await clerk.organizations.getOrganizationMembershipList({ organizationId: organization.id })).totalCount, 2);
    assert.equal((await clerk.users.getOrganizationMembershipList({ userId: made.user.id })).data[0].organization.slug, organization.slug);
    assert.equal((await clerk.organizations.getOrganization({ slug: organization.slug })).id, organization.id);
    await clerk.organizations.deleteOrganizationMembership(of);
    await clerk.organizations.deleteOrganization(organization.id);
  },
  async "sessions, and tokens that verify"() {
    const session = await clerk.sessions.createSession({ userId: made.user.id });
    const { jwt } = await clerk.sessions.getToken(session.id);
    const claims = await verifyToken(jwt, { secretKey, apiUrl });
    assert.equal(claims.sub, made.user.id);
    assert.equal(claims.iss, issuer);
    const request = new Request("http://localhost:3000/", { headers: { authorization: `Bearer ${jwt}` } });
    const state = await clerk.authenticateRequest(request);
    assert.equal(state.toAuth().userId, made.user.id, state.reason);
    assert.equal((await clerk.sessions.revokeSession(session.id)).status, "revoked");
  },
  async "deletion and errors"() {
    await clerk.users.deleteUser(made.other.id);
    await assert.rejects(clerk.users.getUser(made.other.id), (e) => isClerkAPIResponseError(e) && e.status === 404 && e.errors[0].code === "resource_not_found");
    await assert.rejects(createClerkClient({ secretKey: "sk_test_wrong", apiUrl }).users.getCount(), (e) => e.status === 401);
  },
};

for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(`ok ${name}`);
}
console.log(`${Object.keys(steps).length} steps passed`);

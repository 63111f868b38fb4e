// Drives the sandbox with Clerk's own browser script and components in Chromium, unmodified and without a network; a test
// of the sandbox runs it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [base, executablePath, shots] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await (await browser.newContext({ viewport: { width: 1320, height: 860 } })).newPage();
page.setDefaultTimeout(60_000);
const errors = [], outside = [], refused = [];
page.on("pageerror", (e) => errors.push(e.message));
page.on("request", (r) => { if (!r.url().startsWith(base) && !/^(data|blob):/.test(r.url())) outside.push(`${r.method()} ${r.url()}`); });
page.on("response", (r) => { if (r.status() >= 400) refused.push(`${r.status()} ${r.request().method()} ${new URL(r.url()).pathname}`); });

const codeInput = 'input[autocomplete="one-time-code"]';
const submit = "button.cl-formButtonPrimary";
const enterCode = async (code) => {
  await page.locator(codeInput).first().focus();
  await page.keyboard.type(code, { delay: 30 });
};
// askForCode submits a form, and returns when the code was sent.
const askForCode = async () => {
  const sent = page.waitForResponse((r) => r.url().includes("/prepare_"));
  await page.click(submit);
  assert.equal((await sent).status(), 200);
  await page.waitForSelector(codeInput);
};
const mount = async (component) => {
  await page.goto(`${base}/?show=${component}`);
  await page.waitForFunction(() => window.ready);
};
const claims = () => page.evaluate(async () => JSON.parse(atob((await window.Clerk.session.getToken()).split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))));

const steps = {
  async "loads, signed out"() {
    await mount("SignIn");
    assert.equal(await page.evaluate(() => window.Clerk.user ?? null), null);
  },
  async "an unknown user"() {
    await page.fill("input[name=identifier]", "nobody@example.test");
    await page.click(submit);
    await page.getByText("Couldn't find your account").first().waitFor();
    assert.deepEqual(refused.splice(0), ["422 POST /__clerk/v1/client/sign_ins"]);
  },
  async "sign up"() {
    await mount("SignUp");
    await page.fill("input[name=emailAddress]", "ada@example.test");
    await askForCode();
    await enterCode("424242");
    await page.waitForFunction(() => window.Clerk.user?.primaryEmailAddress.emailAddress === "ada@example.test");
  },
  async "the token is for the page"() {
    const token = await claims();
    assert.equal(token.azp, base);
    assert.equal(token.sub, await page.evaluate(() => window.Clerk.user.id));
    assert.equal(token.v, 2);
  },
  async "a reload keeps the session"() {
    await mount("UserButton");
    assert.equal(await page.evaluate(() => window.Clerk.user.primaryEmailAddress.emailAddress), "ada@example.test");
    await page.click(".cl-userButtonTrigger");
    await page.getByText("ada@example.test").first().waitFor();
  },
  async "create and switch organization"() {
    const id = await page.evaluate(async () => {
      const organization = await window.Clerk.createOrganization({ name: "Analytical Engines" });
      await window.Clerk.setActive({ organization: organization.id });
      return organization.id;
    });
    assert.equal((await claims()).o.id, id);
    assert.equal((await claims()).o.rol, "admin");
    await mount("OrganizationSwitcher");
    await page.getByText("Analytical Engines").first().waitFor();
    assert.equal(await page.evaluate(() => window.Clerk.organization.membersCount), 1);
    await page.evaluate(() => window.Clerk.setActive({ organization: null }));
    assert.equal((await claims()).o, undefined);
  },
  async "members"() {
    const members = await page.evaluate(async (name) => {
      const { data } = await window.Clerk.user.getOrganizationMemberships();
      const { organization } = data.find((m) => m.organization.name === name);
      const list = await organization.getMemberships();
      await window.Clerk.setActive({ organization: organization.id });
      return list.data.map((m) => [m.publicUserData.identifier, m.role]);
    }, "Analytical Engines");
    assert.deepEqual(members, [["ada@example.test", "org:admin"]]);
    await mount("OrganizationProfile");
    await page.getByText("Members").first().click();
    await page.getByText("ada@example.test").first().waitFor();
  },
  async "a fresh token on demand"() {
    const [first, second] = await page.evaluate(async () => [await window.Clerk.session.getToken(), await window.Clerk.session.getToken({ skipCache: true })]);
    assert.notEqual(first, second);
  },
  async "a token is renewed without being asked for"() { // within the minute of its life
    await page.waitForResponse((r) => r.url().includes("/tokens") && r.status() === 200, { timeout: 120_000 });
  },
  async "the profile"() {
    await mount("UserProfile");
    await page.getByText("ada@example.test").first().waitFor();
    await page.evaluate(() => window.Clerk.user.update({ firstName: "Ada", lastName: "Lovelace" }));
    assert.equal(await page.evaluate(() => window.Clerk.user.fullName), "Ada Lovelace");
  },
  async "sign out"() {
    await page.evaluate(() => window.Clerk.signOut());
    await mount("SignIn");
    assert.equal(await page.evaluate(() => window.Clerk.user ?? null), null);
  },
  async "sign in, after a wrong code"() {
    await page.fill("input[name=identifier]", "ada@example.test");
    await askForCode();
    await enterCode("000000");
    await page.getByText("Incorrect code").first().waitFor();
    assert.deepEqual(refused.splice(0).map((r) => r.replace(/sia_\w+/, "ID")), ["422 POST /__clerk/v1/client/sign_ins/ID/attempt_first_factor"]);
    await mount("SignIn");
    await page.fill("input[name=identifier]", "ada@example.test");
    await askForCode();
    await enterCode("424242");
    await page.waitForFunction(() => window.Clerk.user?.lastName === "Lovelace");
  },
  async "no error, and no other host"() {
    assert.deepEqual({ errors, outside, refused }, { errors: [], outside: [], refused: [] });
  },
};

let passed = 0;
try {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (e) {
      if (shots) await page.screenshot({ path: `${shots}/${name.replace(/\W+/g, "-")}.png` });
      throw new Error(`${name}: ${e.message}\n${JSON.stringify({ errors, outside, refused })}`, { cause: e });
    }
    console.log(`ok ${name}`);
    passed++;
  }
} finally {
  await browser.close();
}
console.log(`${passed} steps passed`);

// Drives web/example, as `npm run dev` serves it beside Trivet, in Chromium, with Clerk's unmodified SDK and without a network.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [base, sandbox, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
page.setDefaultTimeout(60_000);
const errors = [], outside = [];
page.on("pageerror", (e) => errors.push(e.message));
page.on("request", (r) => { if (![base, sandbox].some((known) => r.url().startsWith(known)) && !/^(data|blob|ws):/.test(r.url())) outside.push(r.url()); });

const control = async (method, path, body) => {
  const response = await fetch(sandbox + path, { method, ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }) });
  assert.ok(response.ok, await response.text());
};
const ask = async (text) => {
  await page.fill("input[aria-label=Message]", text);
  await page.getByRole("button", { name: "Send" }).click();
};

const steps = {
  async "sign in"() {
    await page.goto(base);
    await page.fill("input[name=identifier]", "user_alice@example.test");
    const sent = page.waitForResponse((r) => r.url().includes("/prepare_"));
    await page.click("button.cl-formButtonPrimary");
    assert.equal((await sent).status(), 200);
    const code = page.locator('input[autocomplete="one-time-code"]').first();
    await code.waitFor();
    await code.focus();
    await page.keyboard.type("424242", { delay: 30 });
    await page.getByText("Balance: $5.00").waitFor();
  },
  async "sign up by the link"() {
    const other = await (await browser.newContext()).newPage();
    other.setDefaultTimeout(60_000);
    await other.goto(base);
    await other.getByText("Sign up", { exact: true }).click();
    await other.fill("input[name=emailAddress]", "new@example.test");
    const sent = other.waitForResponse((r) => r.url().includes("/prepare_"));
    await other.click("button.cl-formButtonPrimary");
    assert.equal((await sent).status(), 200);
    const code = other.locator('input[autocomplete="one-time-code"]').first();
    await code.waitFor();
    await code.focus();
    await other.keyboard.type("424242", { delay: 30 });
    await other.getByText("Balance: $5.00").waitFor();
    await other.context().close();
  },
  async "a streamed answer has its cost"() {
    await ask("Hello, Trivet!");
    await page.getByText(/^You said Hello, Trivet!.* \$0\.\d+$/).waitFor();
  },
  async "a plan is bought, and its credit arrives"() {
    await page.getByRole("button", { name: "Upgrade" }).click();
    await page.getByRole("button", { name: /^Pay/ }).click(); // Stripe's page
    await page.getByText("Balance: $30.00").waitFor();
    await page.waitForURL((address) => address.search === "");
  },
  async "the canned answer while the models are down"() {
    await control("POST", "/control/faults", { provider: "openai", kind: "status", status: 503 });
    for (let i = 0; i < 10 && !(await page.getByText("(fallback").count()); i++) { // the first calls fail; then the circuit breaker opens
      await ask("Are you there?");
      await page.getByRole("button", { name: "Send" }).waitFor();
    }
    await page.getByText("I'm currently unavailable. Please try again later or contact support. (fallback").waitFor();
    await control("DELETE", "/control/faults?provider=openai");
  },
  async "the banner while payments are down"() {
    await control("POST", "/control/faults", { provider: "stripe", kind: "status", status: 500 });
    for (let i = 0; i < 8; i++) await control("POST", "/control/stripe/customers", { count: 1 }); // Trivet fetches each, and fails
    await page.getByText("Payment processing is temporarily unavailable. Please try again later.").waitFor({ timeout: 120_000 });
    assert.ok(await page.getByRole("button", { name: "Upgrade" }).isDisabled());
    await control("DELETE", "/control/faults?provider=stripe");
  },
  async "a page says so when Clerk does not load"() {
    const other = await (await browser.newContext()).newPage();
    await other.route(/clerk\.browser\.js/, (route) => route.abort());
    await other.goto(base);
    await other.getByRole("alert").getByText("The sign-in does not load.").waitFor({ timeout: 60_000 });
    await other.context().close();
  },
  async "no error, and no other host"() {
    assert.deepEqual({ errors, outside }, { errors: [], outside: [] });
  },
};

let passed = 0;
try {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (e) {
      throw new Error(`${name}: ${e.message}\n${JSON.stringify({ errors, outside })}\n${await page.locator("body").innerText()}`, { cause: e });
    }
    console.log(`ok ${name}`);
    passed++;
  }
} finally {
  await browser.close();
}
console.log(`${passed} steps passed`);

// Drives the console, as the Go program serves it, in Chromium, with Clerk's unmodified SDK and without a network; a test
// of the whole product runs it. TRIVET_SCREENSHOTS names a folder for pictures of every page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [base, sandbox, executablePath] = process.argv.slice(2);
const shots = process.env.TRIVET_SCREENSHOTS;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const operator = "user_operator@example.test";
const desk = { width: 1320, height: 860 }, phone = { width: 390, height: 844 };

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const seen = { errors: [], outside: [], refused: [], violations: [] };
// Two places in Clerk's components add a style element without the nonce. It is refused, and nothing is lost by it.
const clerks = /^style-src-elem inline \S+\/__clerk\/npm\/@clerk\/ui@\S+\/(vendors|framework)_ui_\S+\.js /;

async function open(options = {}) {
  const context = await browser.newContext({ viewport: desk, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (e) => seen.errors.push(e.message));
  await page.exposeFunction("violated", (v) => !clerks.test(v) && seen.violations.push(v));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (e) => window.violated([e.effectiveDirective, e.blockedURI, e.sourceFile, e.lineNumber, e.columnNumber, e.sample].join(" "))));
  page.on("request", (r) => { if (![base, sandbox].some((known) => r.url().startsWith(known)) && !/^(data|blob):/.test(r.url())) seen.outside.push(`${r.method()} ${r.url()}`); });
  page.on("response", (r) => { if (r.status() >= 400) seen.refused.push(`${r.status()} ${r.request().method()} ${new URL(r.url()).pathname}`); });
  return page;
}

const call = async (method, url, body, token) => {
  const response = await fetch(url, { method, headers: { ...(body && { "content-type": "application/json" }), ...(token && { authorization: `Bearer ${token}` }) }, ...(body && { body: JSON.stringify(body) }) });
  const text = await response.text();
  return { status: response.status, body: /^[{[]/.test(text) ? JSON.parse(text) : text };
};
const control = async (method, path, body) => {
  const answer = await call(method, sandbox + path, body);
  assert.ok(answer.status < 300, `${method} ${path}: ${JSON.stringify(answer)}`);
  return answer.body;
};
const token = (page) => page.evaluate(() => window.Clerk.session.getToken());
const account = async (page) => (await call("GET", `${base}/api/v1/billing/account`, undefined, await token(page))).body.account;
const subscription = async (page) => (await call("GET", `${base}/api/v1/billing/subscription`, undefined, await token(page))).body.subscription;
const link = (page, name) => page.locator("nav[aria-label=Main]").last().getByText(name, { exact: true });

const choice = (page, name) => page.locator("label", { has: page.getByText(name, { exact: true }) }).locator("select");

const topUp = async (page) => (await call("GET", `${base}/api/v1/billing/topUp`, undefined, await token(page))).body.topUp;
// press tabs until the element has the focus, as a person without a mouse does, then presses the key.
async function press(page, locator, key) {
  for (let i = 0; i < 80; i++) {
    if (await locator.evaluate((e) => e === document.activeElement || e.contains(document.activeElement))) {
      if (key) await page.keyboard.press(key);
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not reach ${locator}`);
}

// asks collects the calls of the API that a page makes.
function asks(page) {
  const asked = [];
  page.on("request", (r) => r.url().includes("/api/") && asked.push(r.url()));
  return asked;
}

// quiet waits until the calls under way have ended, and forgets them, or compares them with what was expected.
async function quiet(page, asked, want) {
  await page.waitForTimeout(1_500);
  const calls = asked.splice(0);
  if (want) assert.deepEqual(calls, want);
}

async function until(holds, what) {
  for (let i = 0; i < 300; i++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not within 30 s: ${what}`);
}

async function signIn(page, email, path = "", heading = "Overview") {
  await page.goto(`${base}/console/${path}`);
  await page.waitForSelector("input[name=identifier]");
  await press(page, page.locator("input[name=identifier]"));
  await page.keyboard.type(email);
  const sent = page.waitForResponse((r) => r.url().includes("/prepare_"));
  await page.keyboard.press("Enter");
  assert.equal((await sent).status(), 200);
  const code = page.locator('input[autocomplete="one-time-code"]').first();
  await code.waitFor();
  await press(page, code);
  await page.keyboard.type("424242", { delay: 30 });
  await page.getByRole("heading", { name: heading, exact: true }).waitFor();
  await page.waitForSelector("[data-nano]");
}

let page;
const steps = {
  async "sign in by keyboard"() {
    page = await open();
    await signIn(page, operator);
  },
  async "the balance is the API's"() {
    const shown = await page.locator("[data-nano]").first().getAttribute("data-nano");
    assert.equal(shown, (await account(page)).availableNanoUsd);
  },
  async "a chat by keyboard costs what the ledger says"() {
    const before = BigInt((await account(page)).periodUsage.costNanoUsd);
    await press(page, link(page, "Playground"), "Enter");
    await page.waitForSelector("#message");
    await page.waitForFunction(() => document.querySelector("select")?.value);
    await press(page, page.locator("#message"));
    await page.keyboard.type("Say **bold** and ![x](https://evil.test/leak)");
    await page.keyboard.press("Enter");
    const cost = await page.locator("[data-cost]").getAttribute("data-cost");
    assert.equal(BigInt((await account(page)).periodUsage.costNanoUsd) - before, BigInt(cost));
    await page.waitForSelector("[role=log] strong");
    await picture(page, "Playground, answered, light, desk");
    assert.equal(await page.locator("[role=log] img").count(), 0);
  },
  async "the usage is the ledger's"() {
    await link(page, "Usage").click();
    await page.getByRole("row", { name: /^Total 1 / }).waitFor();
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "CSV" }).click();
    const csv = readFileSync(await (await saved).path(), "utf8").trim().split("\r\n");
    assert.equal(csv.length, 2);
    const cost = (await account(page)).periodUsage.costNanoUsd;
    assert.equal(csv[1].split(",").at(-1), cost);
    await choice(page, "By").selectOption("USAGE_GROUPING_USER");
    const me = await page.evaluate(() => window.Clerk.user.fullName ?? window.Clerk.user.primaryEmailAddress.emailAddress);
    await page.getByRole("region", { name: "By day and member" }).getByRole("row", { name: me }).waitFor();
    await choice(page, "By").selectOption("USAGE_GROUPING_API_KEY");
    await page.getByRole("row", { name: /no key \(signed in\)/ }).waitFor();
    const byKey = page.waitForEvent("download");
    await page.getByRole("button", { name: "CSV" }).click();
    const [head, line] = readFileSync(await (await byKey).path(), "utf8").split("\r\n");
    assert.equal(line.split(",")[head.split(",").indexOf("cost_nano_usd")], cost);
  },
  async "the log has the call, and nothing of what the page itself asks"() {
    await link(page, "Requests").click();
    const calls = page.getByRole("region", { name: "Requests" }).locator("tbody tr");
    await calls.first().waitFor();
    assert.equal(await calls.count(), 1);
    assert.equal(await calls.locator("[data-cost]").getAttribute("data-cost"), (await account(page)).periodUsage.costNanoUsd);
    await press(page, calls.getByRole("button"), "Enter");
    const details = page.getByRole("dialog");
    await details.getByText("none (signed in)").waitFor();
    await picture(page, "Requests, details, light, desk");
    await page.keyboard.press("Escape");
    await choice(page, "Outcome").selectOption("OUTCOME_REFUSED");
    await page.getByText("No requests").waitFor();
    await choice(page, "Outcome").selectOption("OUTCOME_COMPLETED");
    await calls.first().waitFor();
    await page.getByLabel("Request id").fill("req_of_nobody");
    await page.keyboard.press("Enter");
    await page.getByText("No requests").waitFor();
  },
  async "an operator sees the log of another account"() {
    const { token: alices } = await control("POST", "/control/clerk/tokens", { user: "user_alice", ttl: "5m" });
    const answer = await call("POST", `${base}/api/v1/chat`, { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello" }] }, alices);
    assert.equal(answer.status, 200);
    await link(page, "Overview").click();
    await link(page, "Requests").click();
    const calls = page.getByRole("region", { name: "Requests" }).locator("tbody tr");
    await calls.first().waitFor();
    assert.notEqual(await calls.locator("[data-cost]").first().getAttribute("data-cost"), answer.body.costNanoUsd);
    await page.locator("#accounts option[value=user_alice]").waitFor({ state: "attached" });
    await press(page, page.getByLabel("Account"));
    await page.keyboard.type("user_alice");
    await page.locator(`[data-cost="${answer.body.costNanoUsd}"]`).waitFor();
    assert.equal(await calls.count(), 1);
    await page.getByLabel("Member", { exact: true }).fill("user_nobody");
    await page.getByRole("button", { name: "Find" }).click();
    await page.getByText("No requests").waitFor();
    await page.getByLabel("Account").fill("");
    await calls.first().waitFor();
    assert.equal(await page.locator(`[data-cost="${answer.body.costNanoUsd}"]`).count(), 0);
  },
  async "a page whose API does not exist is hidden"() {
    const other = await page.context().newPage();
    await other.route(/\/api\/v1\/requests/, (route) => route.fulfill({ status: 501, contentType: "application/json", body: JSON.stringify({ error: "no", code: "NOT_IMPLEMENTED" }) }));
    await other.goto(`${base}/console/requests`);
    await other.getByRole("heading", { name: "Overview" }).waitFor();
    await link(other, "Usage").waitFor();
    assert.equal(await link(other, "Requests").count(), 0);
    await other.route(/\/api\/v1\/billing\/invoices/, (route) => route.fulfill({ status: 500, contentType: "application/json", body: JSON.stringify({ error: "Stripe is off", code: "CONFIGURATION_ERROR" }) }));
    await link(other, "Billing").click();
    await other.getByText("Payments are not set up on this server").waitFor();
    assert.equal(await other.getByRole("button", { name: /^(Buy|Subscribe)/ }).count(), 0);
    await other.close();
  },
  async "a chat is stopped by keyboard"() {
    await link(page, "Playground").click();
    await press(page, page.locator("#message"));
    await page.keyboard.type("Talk for long [sandbox tokens=2000 pace=20]");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("[role=log]")?.textContent.includes("You said"));
    await press(page, page.getByRole("button", { name: "Stop" }), "Enter");
    await page.getByText("Stopped.").waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
  },
  async "a key is created by keyboard, works, and fails after it was revoked"() {
    await press(page, link(page, "API keys"), "Enter");
    await press(page, page.getByRole("button", { name: "Create key" }), "Enter");
    await page.keyboard.type("nightly");
    await page.keyboard.press("Enter");
    const secret = await page.locator("[data-secret]").textContent();
    await picture(page, "API keys, created, light, desk");
    const models = () => call("GET", `${base}/v1/models`, undefined, secret);
    assert.equal((await models()).status, 200);
    await press(page, page.getByRole("button", { name: "Done" }), "Enter");
    await press(page, page.getByRole("button", { name: "Edit nightly" }), "Enter");
    await page.getByLabel("Requests per day, in UTC").fill("2");
    await page.getByLabel("Concurrent streams").fill("3");
    await page.keyboard.press("Enter");
    await page.getByText("2 requests per day, 3 concurrent streams", { exact: true }).waitFor();
    await press(page, page.getByRole("button", { name: "Revoke nightly" }), "Enter");
    await press(page, page.getByRole("dialog").getByRole("button", { name: "Revoke" }), "Enter");
    await page.getByText("revoked", { exact: true }).waitFor();
    assert.equal((await models()).status, 401);
    assert.ok(!(await page.content()).includes(secret), "the secret is shown once");
  },
  async "credit bought with the sandbox's card arrives"() {
    const before = BigInt((await account(page)).availableNanoUsd);
    await link(page, "Billing").click();
    await page.getByText("The account has no subscription.").waitFor();
    await page.getByRole("button", { name: "Buy $20 of credit" }).click();
    await page.getByRole("button", { name: /^Pay/ }).click(); // Stripe's page
    await page.getByText("What you bought is in the account.").waitFor();
    const { availableNanoUsd } = await account(page);
    assert.equal(BigInt(availableNanoUsd) - before, 20_000_000_000n);
    await page.locator(`[data-nano="${availableNanoUsd}"]`).first().waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    assert.ok(!page.url().includes("checkout"));
    await link(page, "Events").click();
    await page.getByLabel("Source").selectOption("stripe");
    await page.getByRole("row", { name: /checkout\.session\.completed .* done/ }).waitFor();
  },
  async "seats are bought and changed"() {
    await link(page, "Billing").click();
    const studio = page.getByRole("listitem").filter({ hasText: "Studio" });
    await studio.getByLabel("Seats").fill("3");
    await studio.getByRole("button", { name: "Subscribe to Studio" }).click();
    await page.getByRole("button", { name: /^Pay 30/ }).click();
    await page.getByText("What you bought is in the account.").waitFor();
    await page.getByRole("button", { name: "Change the seats" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Choose another number of seats.").waitFor();
    await dialog.getByLabel("Seats").fill("99");
    await dialog.getByText("Choose from 2 to 10 seats.").waitFor();
    assert.ok(await dialog.getByRole("button", { name: "Change the plan" }).isDisabled());
    await dialog.getByLabel("Seats").fill("5");
    await dialog.getByText("$50.00").waitFor(); // each later month
    await dialog.getByRole("button", { name: "Change the plan" }).click();
    await dialog.waitFor({ state: "detached" });
    const { seats, planId } = await subscription(page);
    assert.deepEqual({ seats, planId }, { seats: 5, planId: "studio" });
    await page.locator("dt", { hasText: "Seats" }).locator("+ dd", { hasText: "5" }).waitFor();
  },
  async "an automatic top-up is set up, buys, and is turned off"() {
    await page.getByRole("button", { name: "Set up the top-up" }).waitFor({ state: "detached" }); // the plan studio does not offer it
    const other = await open({ colorScheme: "dark" });
    await control("POST", "/control/clerk/tokens", { user: "user_topup" }); // makes the user
    await signIn(other, "user_topup@example.test", "billing", "Billing");
    await other.getByText("The account has no subscription.").waitFor();
    await other.getByRole("button", { name: "Subscribe to Pro" }).click();
    await other.getByRole("button", { name: /^Pay 20/ }).click();
    await other.getByText("What you bought is in the account.").waitFor();
    await other.getByRole("button", { name: "Close" }).click();
    await other.getByRole("button", { name: "Set up the top-up" }).click();
    const dialog = other.getByRole("dialog");
    await dialog.getByLabel("Buy when the balance falls to").fill("five");
    assert.ok(await dialog.getByRole("button", { name: "Turn on the top-up" }).isDisabled());
    await dialog.getByLabel("Buy when the balance falls to").fill("1000");
    await dialog.getByRole("button", { name: "Turn on the top-up" }).click();
    await dialog.getByRole("alert").getByText("thresholdNanoUsd").first().waitFor(); // above the plan's maximum
    assert.match(seen.refused.pop(), /^400 POST .*topUp:set$/);
    await picture(other, "Billing, top-up, dark, desk");
    await dialog.getByLabel("Buy when the balance falls to").fill("50.00"); // above the balance, so it buys at once
    await dialog.getByLabel("Maximum spend per month").fill("20");
    await dialog.getByRole("button", { name: "Turn on the top-up" }).click();
    await dialog.waitFor({ state: "detached" });
    await other.getByText("$0.00 of at most $20.00").or(other.getByText("$20.00 of at most $20.00")).waitFor();
    for (let i = 0; (await topUp(other)).purchases[0]?.state !== "TOP_UP_PURCHASE_STATE_PAID"; i++) {
      assert.ok(i < 300, "the top-up buys");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await other.reload();
    await other.getByRole("region", { name: "Automatic purchases" }).getByRole("row", { name: /paid/ }).waitFor();
    await other.getByText("$20.00 of at most $20.00 (100 %)").waitFor();
    await picture(other, "Billing, topped up, dark, desk");
    await press(other, other.getByRole("button", { name: "Turn off the top-up" }), "Enter");
    await other.getByRole("button", { name: "Set up the top-up" }).waitFor();
    assert.equal((await topUp(other)).enabled, false);
    await other.context().close();
  },
  async "a plan is changed"() {
    await choice(page, "Charged every").selectOption("BILLING_INTERVAL_YEAR");
    assert.equal(await page.getByRole("button", { name: /^Subscribe to/ }).count(), 0, "an account has one subscription");
    await page.getByRole("button", { name: "Change to Team" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Charged now, with tax").waitFor();
    await dialog.getByText("at once").waitFor();
    await picture(page, "Billing, change, light, desk");
    await dialog.getByRole("button", { name: "Change the plan" }).click();
    await page.locator("li[aria-current=true]", { hasText: "Team" }).waitFor();
    await page.getByText("every year").waitFor();
    assert.equal((await account(page)).planId, "team");
    await page.getByRole("region", { name: "Invoices" }).getByRole("row", { name: /paid \$[\d.,]+ View$/ }).first().waitFor();
  },
  async "a smaller plan waits for the end of the period, and is taken back"() {
    await page.getByRole("button", { name: "Change to Pro" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("at the end of the period").waitFor();
    await dialog.getByRole("button", { name: "Change the plan" }).click();
    await page.getByText(/^to Pro, charged every year, on /).waitFor();
    const { planId, scheduledChange } = await subscription(page);
    assert.deepEqual([planId, scheduledChange.planId, scheduledChange.interval], ["team", "pro", "BILLING_INTERVAL_YEAR"]);
    await picture(page, "Billing, scheduled, light, desk");
    await page.getByRole("button", { name: "Keep the plan as it is" }).click();
    await page.getByText(/^to Pro, charged every year/).waitFor({ state: "detached" });
    assert.equal((await subscription(page)).scheduledChange ?? null, null);
  },
  async "a plan is canceled and resumed by keyboard"() {
    await press(page, page.getByRole("button", { name: "Cancel the plan" }), "Enter");
    await picture(page, "Billing, cancel, light, desk");
    await press(page, page.getByRole("dialog").getByRole("button", { name: "Cancel the plan" }), "Enter");
    await page.locator("dt", { hasText: "Ends" }).waitFor();
    assert.ok((await subscription(page)).cancelTime);
    await press(page, page.getByRole("button", { name: "Resume the plan" }), "Enter");
    await page.locator("dt", { hasText: "Renews" }).waitFor();
    assert.ok(!(await subscription(page)).cancelTime);
  },
  async "a trial that has ended says what to do"() {
    const other = await page.context().newPage();
    let shown = {};
    await other.route(/\/api\/v1\/billing\/subscription$/, async (route) => {
      const answer = await (await route.fetch()).json();
      await route.fulfill({ json: { subscription: { ...answer.subscription, ...shown } } });
    });
    const region = other.locator("section", { has: other.getByRole("heading", { name: "Subscription", exact: true }) });
    const terms = () => region.locator("dt").allTextContents();
    shown = { access: "SUBSCRIPTION_ACCESS_SUSPENDED", status: "paused", trialEndTime: "2026-11-01T10:00:00Z" };
    await other.goto(`${base}/console/billing`);
    await other.getByRole("alert").getByText("The trial has ended without a card.").waitFor();
    await region.getByRole("button", { name: "Resume the plan" }).waitFor();
    assert.deepEqual((await terms()).filter((t) => /Trial|Renews/.test(t)), ["Trial ended"]);
    for (const [size, viewport] of Object.entries({ desk, phone })) {
      await other.setViewportSize(viewport);
      await check(other, `Billing, trial ended, light, ${size}`);
    }
    shown = { trialEndTime: "2026-11-01T10:00:00Z" }; // Stripe tells of a trial long after its end
    await other.reload();
    await region.locator("dt", { hasText: "Renews" }).waitFor();
    assert.deepEqual((await terms()).filter((t) => /Trial/.test(t)), []);
    await other.close();
  },
  async "a failed payment is named until it is paid"() {
    const other = await open();
    await signIn(other, "user_alice@example.test", "billing?from=mail", "Billing"); // the sign-in leads to the page that was opened
    assert.equal(new URL(other.url()).search, "?from=mail");
    await other.getByRole("button", { name: "Subscribe to Pro" }).click();
    await other.getByRole("button", { name: /^Pay 20/ }).click();
    await other.getByText("What you bought is in the account.").waitFor();
    await other.getByRole("button", { name: "Close" }).click();
    const portal = async (steps) => {
      await other.getByRole("button", { name: "Cards, tax ids and invoices" }).click();
      await other.waitForURL((url) => url.href.startsWith(sandbox));
      await steps();
      await other.getByRole("link", { name: "Back" }).click();
      await other.getByRole("heading", { name: "Billing" }).waitFor();
    };
    const useCard = async (card, shown) => {
      await other.getByLabel("Card").selectOption(card);
      await other.getByRole("button", { name: "Use this card" }).click();
      await other.getByText(shown).waitFor();
    };
    const { id } = await subscription(other);
    await portal(async () => {
      await useCard("chargeCustomerFail", "visa 0341"); // it can be saved, and each charge is declined
      await control("POST", `/control/stripe/subscriptions/${id}/renew`);
    });
    await other.getByRole("alert").getByText("The last payment failed.").waitFor();
    await other.getByText("payment failed", { exact: true }).first().waitFor();
    await other.getByRole("region", { name: "Invoices" }).getByRole("row", { name: /open \$20\.00/ }).waitFor();
    await picture(other, "Billing, payment failed, light, desk");
    await other.reload();
    const notices = other.getByRole("region", { name: "Notices" });
    const failed = notices.getByRole("row", { name: /payment failed/ });
    assert.ok((await failed.getByRole("link", { name: "Pay" }).getAttribute("href")).startsWith(sandbox));
    await notices.getByRole("row", { name: /plan changed|payment failed/ }).first().waitFor();
    await choice(other, "Show").selectOption("NOTICE_KIND_ENDED");
    await other.getByText("No notices of this kind").waitFor();
    await choice(other, "Show").selectOption("NOTICE_KIND_PAYMENT_FAILED");
    await failed.waitFor();
    await portal(async () => {
      await useCard("visa", "visa 4242");
      await other.getByRole("button", { name: "Pay" }).click();
      await other.getByRole("button", { name: "Pay" }).waitFor({ state: "detached" });
    });
    await other.getByText("active", { exact: true }).waitFor();
    assert.equal(await other.getByText("The last payment failed.").count(), 0);
    await other.context().close();
  },
  async "a dead event is redriven and done"() {
    await control("POST", "/control/faults", { provider: "stripe", kind: "status", status: 500, path: "/v1/customers*" });
    await control("POST", "/control/stripe/customers", { count: 1 });
    await link(page, "Events").click();
    await page.getByLabel("Source").selectOption("stripe");
    await page.getByLabel("State").selectOption("EVENT_STATE_DEAD");
    const choose = page.getByRole("checkbox").first();
    await choose.waitFor();
    await page.getByRole("button", { name: "customer.created" }).first().click();
    await page.getByText("Failed attempts").waitFor();
    await picture(page, "Events, details, light, desk");
    await page.keyboard.press("Escape");
    await control("DELETE", "/control/faults?provider=stripe");
    await choose.check();
    await page.getByRole("button", { name: "Redrive 1" }).click();
    await page.getByText("1 redriven").waitFor();
    await page.getByLabel("State").selectOption("EVENT_STATE_DONE");
    await page.getByRole("row", { name: /customer\.created/ }).first().waitFor();
  },
  async "the mails and webhooks of notices are listed"() {
    await page.getByLabel("State").selectOption("EVENT_STATE_UNSPECIFIED");
    await page.getByLabel("Source").selectOption("webhook");
    await page.getByText("The webhooks of notices appear here while BILLING_EVENTS_URL is set.").waitFor();
    await page.getByLabel("Source").selectOption("email");
    await page.getByRole("row", { name: /billing\.payment_failed/ }).first().waitFor();
  },
  async "a reconciliation shows its progress and ends"() {
    await link(page, "Reconcile").click();
    for (const name of ["Clerk", "Stripe"]) {
      const start = page.getByRole("button", { name: `Reconcile with ${name}` });
      const failed = page.getByText("failed", { exact: true });
      const row = page.getByRole("region", { name: `Compared with ${name}` })
        .getByRole("row", { name: name === "Clerk" ? /^users \d+ 0 0 0 compared/ : /^customers \d+/ });
      for (let i = 0; i < 30; i++) { // the first reconciliation of the process may be under way
        await start.click();
        await page.waitForTimeout(1000);
        await row.or(failed).first().waitFor();
        if (!(await failed.count())) break;
      }
      await row.waitFor();
      await start.waitFor();
    }
    await page.getByText("done", { exact: true }).nth(1).waitFor();
  },
  async "while the models are down, the status says so and the answer is the fallback"() {
    const status = await page.context().newPage();
    const polls = [];
    status.on("request", (r) => new URL(r.url()).pathname === "/api/v1/status" && polls.push(r.url()));
    await status.goto(`${base}/console/status`);
    await status.getByRole("row", { name: /OpenAI .* operational/ }).waitFor();
    const polled = polls.length;
    await control("POST", "/control/faults", { provider: "openai", kind: "status", status: 503 });
    await link(page, "Playground").click();
    for (let i = 0; i < 10 && !(await page.getByText("Fallback:").count()); i++) { // the first calls fail; then the circuit breaker opens
      await page.fill("#message", "Are you there?");
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => [...document.querySelectorAll("button")].some((b) => b.textContent.includes("Send")));
    }
    await page.getByText("I'm currently unavailable. Please try again later or contact support.").waitFor();
    await status.getByRole("row", { name: /OpenAI .* (degraded|down) .*\d%/ }).waitFor(); // an operator sees the success rate
    assert.equal(polls.length, polled, "the change came by the stream");
    await control("DELETE", "/control/faults?provider=openai");
    await status.close();
  },
  async "without the stream, the status is polled"() {
    const other = await page.context().newPage();
    await other.clock.install();
    await other.route(/\/api\/v1\/status\/stream$/, (route) => route.abort());
    await other.goto(`${base}/console/status`);
    await other.getByRole("row", { name: /Stripe/ }).waitFor();
    for (let i = 0; i < 3; i++) {
      const poll = other.waitForRequest((r) => new URL(r.url()).pathname === "/api/v1/status");
      await other.waitForTimeout(500); // the poll before ends
      await other.clock.fastForward("00:11");
      await poll;
    }
    await other.close();
  },
  async "polling stops while the page is hidden, and is never logged"() {
    const log = async () => (await call("GET", `${base}/api/v1/requests?pageSize=500`, undefined, await token(page))).body.requests.length;
    const logged = await log();
    const other = await page.context().newPage();
    await other.clock.install();
    const asked = asks(other);
    await other.goto(`${base}/console/`);
    await other.waitForSelector("[data-nano]");
    const hide = (state) => other.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    }, state);
    await quiet(other, asked);
    await other.clock.fastForward("01:10"); // longer than every interval of the page
    for (const path of ["billing/account", "billing/usage"]) await until(() => asked.some((url) => url.includes(path)), `${path} is polled`);
    await hide("hidden");
    await quiet(other, asked);
    for (let i = 0; i < 3; i++) await other.clock.fastForward("01:10");
    await quiet(other, asked, []);
    const again = other.waitForRequest((r) => r.url().includes("/api/"));
    await hide("visible");
    await again;
    await other.close();
    assert.equal(await log(), logged);
  },
  async "create and switch organization, members"() {
    await link(page, "Members").click();
    await page.getByText("This is your personal account").waitFor();
    await page.fill("input[name=name]", "Analytical Engines");
    await page.getByRole("button", { name: "Create organization" }).click();
    await page.locator(".cl-organizationProfile-root, .cl-organizationProfileRoot, .cl-pageScrollBox").first().waitFor();
    await picture(page, "Members, organization, light, desk");
    await link(page, "Overview").click();
    await page.waitForFunction(() => document.querySelector("[data-nano]"));
    assert.match((await account(page)).id, /^org_/);
    await page.evaluate(() => window.Clerk.setActive({ organization: null }));
    await page.waitForFunction(() => !window.Clerk.organization);
  },
  async "a refused session goes to the sign-in"() {
    const other = await open();
    await control("POST", "/control/clerk/tokens", { user: "user_banned" });
    await signIn(other, "user_banned@example.test");
    const ended = seen.refused.length;
    await control("PATCH", "/control/clerk/users/user_banned", { banned: true });
    await other.waitForSelector("input[name=identifier]", { timeout: 90_000 });
    assert.ok(seen.refused.splice(ended).length > 0);
    await other.context().close();
  },
  async "a session that only the server refuses is renewed once, and then goes to the sign-in"() {
    const other = await open();
    await signIn(other, "user_alice@example.test");
    const ended = seen.refused.length;
    const renewed = other.waitForRequest((r) => r.url().includes("/tokens"));
    await other.route(/\/api\/v1\/(?!status)/, (route) => route.fulfill({ status: 401, contentType: "application/json", body: JSON.stringify({ error: "Invalid token", code: "INVALID_TOKEN" }) }));
    await link(other, "Usage").click();
    await renewed;
    await other.getByText("Your session is no longer valid. Please sign in again.").waitFor();
    await other.waitForSelector("input[name=identifier]");
    seen.refused.splice(ended);
    await other.context().close();
  },
  async "a page says so when Clerk does not load"() {
    const other = await open();
    await other.route(/clerk\.browser\.js/, (route) => route.abort());
    const before = seen.errors.length;
    await other.goto(`${base}/console/`);
    await other.getByRole("heading", { name: "The sign-in does not load" }).waitFor();
    await other.getByText("OpenAI (models)").waitFor();
    await check(other, "light, without Clerk");
    assert.ok(seen.errors.splice(before).every((e) => e.includes("failed_to_load_clerk_js")));
    await other.context().close();
  },
  async "the API's page tries a call"() {
    const other = await open();
    await other.goto(`${base}/`);
    await other.getByRole("link", { name: "API", exact: true }).click();
    const call = other.locator("#operations-Status-getStatus");
    await call.locator("button.opblock-summary-control").click();
    await call.getByRole("button", { name: "Try it out" }).click();
    await call.getByRole("button", { name: "Execute" }).click();
    await call.locator(".live-responses-table .response-col_status", { hasText: "200" }).first().waitFor();
    await other.context().close();
  },
  async "every page is accessible, light and dark, on a desk and a phone"() {
    await look(page);
  },
  async "sign out, which ends the polling of every tab"() {
    const other = await page.context().newPage();
    await other.clock.install();
    const asked = asks(other);
    await other.goto(`${base}/console/`);
    await other.waitForSelector("[data-nano]");
    await quiet(other, asked);
    await other.locator(".cl-userButtonTrigger").click();
    await other.getByText("Sign out").first().click();
    await other.waitForSelector("input[name=identifier]");
    await quiet(other, asked);
    for (let i = 0; i < 3; i++) await other.clock.fastForward("01:10");
    await quiet(other, asked, []);
    await other.close();
    await page.waitForSelector("input[name=identifier]");
  },
  async "no error, no violation, no other host"() {
    const { errors, outside, violations } = seen;
    assert.deepEqual({ errors, outside, violations }, { errors: [], outside: [], violations: [] });
    // Refusals that the steps caused: no subscription yet, models that are down, Clerk's answer to a page that is signed out.
    const unexpected = seen.refused.filter((r) => !/^404 GET \/api\/v1\/billing\/subscription$|^50\d POST \/api\/v1\/chat:stream$|\/__clerk\/v1\//.test(r));
    assert.deepEqual(unexpected, []);
  },
};

const pages = ["Overview", "Usage", "Requests", "Playground", "API keys", "Members", "Billing", "Status", "Events", "Reconcile"];

// look opens every page in every form, checks it, and takes its picture.
async function look(page) {
  for (const [size, viewport] of Object.entries({ desk, phone })) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const name of pages) {
        if (size === "phone") await page.getByRole("button", { name: "Menu", exact: true }).click();
        await link(page, name).click();
        await page.getByRole("heading", { name, exact: true }).first().waitFor();
        await page.waitForFunction(() => !document.querySelector("[role=status]"));
        await check(page, `${name}, ${colorScheme}, ${size}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${name} on a ${size} is ${wide} px too wide`);
      }
    }
  }
  await page.setViewportSize(desk);
  await page.emulateMedia({ colorScheme: "light" });
}

// picture takes a picture of the whole page, when a folder for them is given.
async function picture(page, name) {
  if (!shots) return;
  const before = seen.violations.length;
  await page.screenshot({ path: `${shots}/${name.replace(/\W+/g, "-").toLowerCase()}.png`, fullPage: true });
  seen.violations.length = before; // the picture itself adds a style
}

// check leaves out the inside of Clerk's components, which are not ours.
async function check(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ exclude: [['[class*="cl-"]']] }, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  await picture(page, name);
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(" | ")}`), [], name);
}

let passed = 0;
try {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (e) {
      if (shots && page) await page.screenshot({ path: `${shots}/failed.png` });
      throw new Error(`${name}: ${e.message}\n${JSON.stringify(seen)}`, { cause: e });
    }
    console.log(`ok ${name}`);
    passed++;
  }
} finally {
  await browser.close();
}
console.log(`${passed} steps passed`);

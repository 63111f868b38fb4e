// Drives the sandbox with Stripe's own SDK, as a user would after changing only host, port and protocol; a test of the
// sandbox runs it.
import assert from "node:assert/strict";
import Stripe from "stripe";

const { hostname: host, port } = new URL(process.argv[2]);
const stripe = new Stripe("sk_test_trivetsandbox", { host, port, protocol: "http" });
const made = {};

const steps = {
  async "the SDK's own version is taken, and the answer has the sandbox's"() {
    assert.notEqual(Stripe.API_VERSION ?? stripe.getApiField("version"), "2023-10-16");
    const balance = await stripe.balance.retrieve();
    assert.equal(balance.lastResponse.apiVersion, "2023-10-16");
  },
  async "customers"() {
    made.customer = await stripe.customers.create({ email: "ada@example.test", metadata: { plan: "pro" } });
    await stripe.customers.update(made.customer.id, { name: "Ada" });
    assert.equal((await stripe.customers.retrieve(made.customer.id)).name, "Ada");
    assert.equal((await stripe.customers.list({ email: "ada@example.test" })).data.length, 1);
  },
  async "products whose id has to be encoded"() {
    for (const id of ["gold/monthly", "50%off", "x#y", "x?y", "a\\b"]) {
      await stripe.products.create({ id, name: id });
      assert.equal((await stripe.products.retrieve(id)).id, id);
    }
  },
  async "prices and cards"() {
    made.price = await stripe.prices.create({ product: "gold/monthly", currency: "usd", unit_amount: 1000, recurring: { interval: "month" } });
    const card = await stripe.paymentMethods.attach("pm_card_visa", { customer: made.customer.id });
    await stripe.customers.update(made.customer.id, { invoice_settings: { default_payment_method: card.id } });
    made.card = card.id;
  },
  async "subscriptions have the form of 2023-10-16"() {
    const subscription = await stripe.subscriptions.create({ customer: made.customer.id, items: [{ price: made.price.id }], expand: ["latest_invoice"] });
    assert.equal(subscription.status, "active");
    assert.ok(subscription.current_period_end > subscription.current_period_start);
    assert.equal(subscription.latest_invoice.subscription, subscription.id);
    assert.equal((await stripe.invoices.list({ subscription: subscription.id })).data.length, 1);
    assert.equal((await stripe.subscriptions.cancel(subscription.id)).status, "canceled");
  },
  async "the pages of checkout and portal are where they say"() {
    const checkout = await stripe.checkout.sessions.create({
      mode: "subscription", customer: made.customer.id, line_items: [{ price: made.price.id, quantity: 1 }],
      success_url: "http://localhost:3000/ok", cancel_url: "http://localhost:3000/no",
    });
    const portal = await stripe.billingPortal.sessions.create({ customer: made.customer.id, return_url: "http://localhost:3000/" });
    for (const { url } of [checkout, portal]) assert.equal((await fetch(url)).status, 200, url);
  },
  async "meters"() {
    const meter = await stripe.billing.meters.create({ display_name: "Tokens", event_name: "tokens", default_aggregation: { formula: "sum" } });
    await stripe.billing.meterEvents.create({ event_name: "tokens", payload: { value: "5", stripe_customer_id: made.customer.id } });
    const summaries = await stripe.billing.meters.listEventSummaries(meter.id, { customer: made.customer.id, start_time: 0, end_time: 4102444800 });
    assert.equal(summaries.data[0].aggregated_value, 5);
  },
  async "payments, a declined one too"() {
    const paid = await stripe.paymentIntents.create({ amount: 500, currency: "usd", customer: made.customer.id, payment_method: made.card, confirm: true, off_session: true });
    assert.equal(paid.status, "succeeded");
    assert.equal((await stripe.refunds.create({ payment_intent: paid.id })).status, "succeeded");
    await assert.rejects(
      stripe.paymentIntents.create({ amount: 500, currency: "usd", payment_method: "pm_card_chargeDeclined", confirm: true, off_session: true }),
      (e) => e instanceof Stripe.errors.StripeCardError && e.code === "card_declined");
  },
  async "idempotency keys"() {
    const twice = () => stripe.customers.create({ name: "Once" }, { idempotencyKey: "node-1" });
    assert.equal((await twice()).id, (await twice()).id);
  },
  async "lists page by themselves"() {
    let events = 0;
    for await (const event of stripe.events.list({ limit: 3 })) {
      assert.equal(event.api_version, "2023-10-16");
      events++;
    }
    assert.ok(events > 10);
  },
  async "what the sandbox does not have, it refuses"() {
    const refused = (message) => (e) => e instanceof Stripe.errors.StripeInvalidRequestError && e.statusCode === 404 && e.message.includes(message);
    await assert.rejects(stripe.invoices.createPreview({ customer: made.customer.id }), refused("Unrecognized request URL (POST: /v1/invoices/create_preview)"));
    await assert.rejects(stripe.customers.search({ query: "name:'x'" }), refused("Unrecognized request URL"));
    await assert.rejects(stripe.invoices.retrieve("in_missing"), refused("No such invoice: 'in_missing'"));
  },
};

for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(`ok ${name}`);
}
console.log(`${Object.keys(steps).length} steps passed`);

from pydantic import Field

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """Billing's environment: the common one, and Stripe's own names for what Stripe gives out.

    `stripe_webhook_secret` is one secret, or several with commas between them: connected accounts' webhooks have their own.
    `stripe_api_base` redirects every call of ours, to the sandbox on a laptop.
    """

    stripe_secret_key: str = Field(validation_alias="STRIPE_SECRET_KEY", repr=False, min_length=8)
    stripe_webhook_secret: str = Field(validation_alias="STRIPE_WEBHOOK_SECRET", repr=False, min_length=8)
    stripe_api_base: str = Field(default="https://api.stripe.com", validation_alias="STRIPE_API_BASE")

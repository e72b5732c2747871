"""Who a person is, as the documentation of django-oauth-toolkit has it."""

from oauth2_provider.oauth2_validators import OAuth2Validator


class Claims(OAuth2Validator):
    # Without, it sends only what the scope of OpenID Connect Core stands for.
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        user = request.user
        return {"email": user.email, "email_verified": True, "name": user.get_full_name(), "groups": []}

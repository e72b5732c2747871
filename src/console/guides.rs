//! What to do at an identity provider, in its own words and with the names of its own fields.

use maud::{Markup, html};

use super::parts::copy;

/// An identity provider whose screens are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Okta.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// JumpCloud.
    JumpCloud,
    /// OneLogin.
    OneLogin,
    /// Any other.
    Other,
}

/// What the field for the issuer is called at a provider, what it looks like there, and where to find it.
#[derive(Clone, Copy, Debug)]
pub struct Issuer {
    /// Where to find it.
    pub hint: &'static str,
    /// What it looks like; the whole value, where it is the same for everybody.
    pub example: &'static str,
    /// Whether everybody has this one.
    pub is_fixed: bool,
}

impl Provider {
    /// All of them, as they are offered.
    pub const ALL: [Self; 7] = [
        Self::Okta,
        Self::Entra,
        Self::Google,
        Self::Keycloak,
        Self::JumpCloud,
        Self::OneLogin,
        Self::Other,
    ];

    /// Its name in addresses of pages.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Okta => "okta",
            Self::Entra => "entra",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::JumpCloud => "jumpcloud",
            Self::OneLogin => "onelogin",
            Self::Other => "other",
        }
    }

    /// The one of this name.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.key() == key)
    }

    /// The one that an issuer belongs to, as far as its address tells.
    pub fn of_issuer(issuer: &str) -> Self {
        let host = issuer.split('/').nth(2).unwrap_or_default();
        let ends = |ends: &[&str]| ends.iter().any(|end| host.ends_with(end));
        match host {
            "accounts.google.com" => Self::Google,
            "login.microsoftonline.com" | "login.microsoftonline.us" => Self::Entra,
            "oauth.id.jumpcloud.com" => Self::JumpCloud,
            _ if ends(&[".okta.com", ".oktapreview.com", ".okta-emea.com"]) => Self::Okta,
            _ if ends(&[".onelogin.com"]) => Self::OneLogin,
            _ if issuer.contains("/realms/") => Self::Keycloak,
            _ => Self::Other,
        }
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Okta => "Okta",
            Self::Entra => "Microsoft Entra ID",
            Self::Google => "Google Workspace",
            Self::Keycloak => "Keycloak",
            Self::JumpCloud => "JumpCloud",
            Self::OneLogin => "OneLogin",
            Self::Other => "Another provider",
        }
    }

    /// What it is called on the page where people sign in, unless somebody says otherwise.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Entra => "Microsoft",
            Self::Google => "Google",
            Self::Other => "",
            other => other.name(),
        }
    }

    /// What to say of it where providers are chosen.
    pub const fn remark(self) -> &'static str {
        match self {
            Self::Entra => "Azure AD, Microsoft 365",
            Self::Other => "With OpenID Connect",
            Self::Keycloak => "Self-hosted",
            _ => "",
        }
    }

    /// The issuer.
    pub const fn issuer(self) -> Issuer {
        let (hint, example, is_fixed) = match self {
            Self::Okta => (
                "The address at which your people sign in to Okta, without “-admin” and without a slash at the end.",
                "https://example.okta.com",
                false,
            ),
            Self::Entra => (
                "With your Directory (tenant) ID, from the Overview of the app registration.",
                "https://login.microsoftonline.com/TENANT-ID/v2.0",
                false,
            ),
            Self::Google => (
                "The same for everybody.",
                "https://accounts.google.com",
                true,
            ),
            Self::Keycloak => (
                "Realm settings → General → Endpoints → OpenID Endpoint Configuration: the value of “issuer”.",
                "https://keycloak.example.com/realms/REALM",
                false,
            ),
            Self::JumpCloud => (
                "The same for everybody. The slash at the end belongs to it.",
                "https://oauth.id.jumpcloud.com/",
                true,
            ),
            Self::OneLogin => (
                "The tab SSO of the app shows it as Issuer URL.",
                "https://example.onelogin.com/oidc/2",
                false,
            ),
            Self::Other => (
                "The provider’s documentation calls it issuer. Its address with /.well-known/openid-configuration at the end shows a page that names it.",
                "https://login.example.com",
                false,
            ),
        };
        Issuer {
            hint,
            example,
            is_fixed,
        }
    }

    /// What the provider calls the client's identifier and its secret.
    pub const fn client_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Entra => (
                "Application (client) ID, from the Overview.",
                "The Value of the client secret, not its Secret ID. It is shown only once.",
            ),
            Self::Google => (
                "It ends in .apps.googleusercontent.com.",
                "Client secret, shown beside the client ID.",
            ),
            Self::Keycloak => (
                "As you named the client.",
                "Tab Credentials → Client Secret.",
            ),
            Self::OneLogin => (
                "Tab SSO → Client ID.",
                "Tab SSO → Client Secret → Show client secret.",
            ),
            Self::JumpCloud => (
                "JumpCloud shows it once, when you activate the application.",
                "JumpCloud shows it once, beside the client ID.",
            ),
            Self::Okta => (
                "Tab General → Client Credentials.",
                "Tab General → Client Secrets.",
            ),
            Self::Other => ("As the provider shows it.", "As the provider shows it."),
        }
    }

    /// What to do there so that people can sign in. `redirect_uri` is where the provider sends them back to.
    pub fn sign_in_steps(self, redirect_uri: &str) -> Vec<Markup> {
        let redirect = |label: &str| copy(label, redirect_uri);
        match self {
            Self::Okta => vec![
                html! { p { "Open " b { "Applications → Applications → Create App Integration" } ". Choose " b { "OIDC - OpenID Connect" } " and " b { "Web Application" } "." } },
                html! { p { "Give it a name. Leave only " b { "Authorization Code" } " on, and enter:" } (redirect("Sign-in redirect URIs")) p { "Remove what stands under Sign-out redirect URIs." } },
                html! { p { "Under " b { "Assignments" } ", choose the group of the people who may sign in. Save." } },
            ],
            Self::Entra => vec![
                html! { p { "Open " b { "App registrations → New registration" } ". Choose accounts in " b { "this organizational directory only" } "." } },
                html! { p { "Choose the platform " b { "Web" } ", and enter:" } (redirect("Redirect URI")) p { "Register." } },
                html! { p { b { "Certificates & secrets → New client secret" } ": keep its " b { "Value" } ". Note the day on which it ends." } },
                html! { p { b { "Token configuration → Add optional claim → ID" } ": add " code { "email" } " and, if it is offered, " code { "xms_edov" } "." } },
                html! { p { "To choose who may sign in: " b { "Enterprise applications" } " → your app → Properties → " b { "Assignment required: Yes" } ", then Users and groups." } },
            ],
            Self::Google => vec![
                html! { p { "In the Google Cloud console, open " b { "APIs & Services → OAuth consent screen" } " and choose the user type " b { "Internal" } "." } },
                html! { p { "Open " b { "Credentials → Create credentials → OAuth client ID" } ", choose " b { "Web application" } ", and enter:" } (redirect("Authorized redirect URIs")) },
                html! { p { "Create it, and keep the window with the client ID and the client secret open." } },
            ],
            Self::Keycloak => vec![
                html! { p { "In your realm (not master), open " b { "Clients → Create client" } ". Client type: " b { "OpenID Connect" } ". Choose a Client ID." } },
                html! { p { "Client authentication: " b { "On" } ". Authentication flow: only " b { "Standard flow" } "." } },
                html! { p { "Enter, and leave the other addresses empty:" } (redirect("Valid redirect URIs")) p { "Save. The tab " b { "Credentials" } " shows the client secret." } },
            ],
            Self::JumpCloud => vec![
                html! { p { "Open " b { "SSO Applications → Add New Application → Custom Application" } ", and choose " b { "Manage Single Sign-On (SSO) → Configure SSO with OIDC" } "." } },
                html! { p { "On the tab SSO, enter:" } (redirect("Redirect URIs")) p { "Client Authentication Type: " b { "Client Secret Basic" } ". Standard scopes: " b { "Email" } " and " b { "Profile" } "." } },
                html! { p { "On the tab User Groups, choose who may sign in. Activate: JumpCloud shows the client ID and the secret once." } },
            ],
            Self::OneLogin => vec![
                html! { p { "Open " b { "Applications → Add App" } ", search for " b { "OpenId Connect (OIDC)" } ", and save." } },
                html! { p { "On the tab Configuration, enter:" } (redirect("Redirect URI's")) },
                html! { p { "On the tab SSO, choose the Token Endpoint authentication method " b { "Basic" } ". On the tab Access, choose the roles of the people who may sign in." } },
            ],
            Self::Other => vec![
                html! { p { "Register an OpenID Connect client of the kind " b { "web application" } " (confidential client), with the flow " b { "authorization code" } "." } (redirect("Redirect URI, also called callback URL")) },
                html! { p { "It must answer with the claims " code { "email" } " and, better, " code { "email_verified" } " and " code { "name" } "." } },
            ],
        }
    }

    /// What to do there so that it pushes users and groups to `url`.
    pub fn provisioning_steps(self, url: &str) -> Vec<Markup> {
        let token = html! { p .hint { "The token is the one that this page showed when it was made, without “Bearer” in front." } };
        match self {
            Self::Okta => vec![
                html! { p { "Open " b { "Applications → Create App Integration" } " and choose " b { "SWA" } " (or use an app that you have). General → App Settings → Provisioning: " b { "SCIM" } "." } },
                html! { p { "On the tab " b { "Provisioning → Integration" } ", enter:" } (copy("SCIM connector base URL", url)) (copy("Unique identifier field for users", "userName")) p { "Supported actions: Push New Users, Push Profile Updates, Push Groups. Authentication Mode: " b { "HTTP Header" } "; Authorization: the token." } (token) },
                html! { p { b { "Test Connector Configuration" } ", then save." } },
                html! { p { b { "Provisioning → To App" } ": turn on Create Users, Update User Attributes and Deactivate Users. Then assign people or groups; under Push Groups, choose the groups to send." } },
            ],
            Self::Entra => vec![
                html! { p { "Open " b { "Enterprise applications → New application → Create your own application" } ", and choose the non-gallery one." } },
                html! { p { b { "Provisioning → Connect your application" } ": enter" } (copy("Tenant URL", &format!("{url}?aadOptscim062020"))) p { "and the token as " b { "Secret Token" } "." } (token) p { b { "Test Connection" } ", then save." } },
                html! { p { "Under " b { "Mappings" } ", have " code { "externalId" } " come from " code { "objectId" } " instead of mailNickname." } },
                html! { p { "Under Users and groups, add those to send, then " b { "Start provisioning" } ". A change arrives with the next cycle, about every 40 minutes; " b { "Provision on demand" } " sends one person at once." } },
            ],
            Self::JumpCloud => vec![
                html! { p { "Open your application (or add a custom one with " b { "Export users to this app (Identity Management)" } ")." } },
                html! { p { b { "Identity Management → Configuration settings" } ": API type SCIM API, SCIM 2.0, and" } (copy("Base URL", url)) p { "Token Key: the token. Test User Email: an address of your domain that nobody has." } (token) },
                html! { p { b { "Test Connection" } ", " b { "Activate" } ", save. Then connect the user groups to send." } },
            ],
            Self::OneLogin => vec![
                html! { p { "Add the app " b { "SCIM Provisioner with SAML (SCIM v2 Enterprise)" } "." } },
                html! { p { "On the tab Configuration, enter" } (copy("SCIM Base URL", url)) p { "and the token as " b { "SCIM Bearer Token" } ". API Connection: " b { "Enable" } "." } (token) },
                html! { p { "On the tab Provisioning: " b { "Enable provisioning" } ". When users are deleted in OneLogin: " b { "Suspend" } " or " b { "Delete" } "." } },
            ],
            Self::Keycloak => vec![
                html! { p { "Keycloak itself pushes nothing: an extension does, such as a SCIM client for user federation. Enter there:" } (copy("SCIM endpoint", url)) p { "Authentication: bearer token, with the token." } (token) },
            ],
            Self::Google => vec![
                html! { p { "Google Workspace pushes to applications of its catalog alone. Use a tool that pushes from the Google directory over SCIM 2.0, and enter there:" } (copy("SCIM endpoint", url)) (token) },
            ],
            Self::Other => vec![
                html! { p { "Enter at the provider, where it calls provisioning SCIM 2.0:" } (copy("SCIM endpoint, also called base URL or tenant URL", url)) p { "Authentication: bearer token (“HTTP header”), with the token." } (token) },
                html! { p { "Map the address that people sign in with to " code { "userName" } " or " code { "emails" } ", and an identifier that never changes to " code { "externalId" } "." } },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_issuer() {
        for (issuer, provider) in [
            ("https://example.okta.com", Provider::Okta),
            ("https://example.okta.com/oauth2/default", Provider::Okta),
            ("https://okta.com.example.net", Provider::Other),
            ("https://login.microsoftonline.com/x/v2.0", Provider::Entra),
            ("https://accounts.google.com", Provider::Google),
            ("https://k.example.com/realms/a", Provider::Keycloak),
            ("https://oauth.id.jumpcloud.com/", Provider::JumpCloud),
            ("https://example.onelogin.com/oidc/2", Provider::OneLogin),
            ("nothing", Provider::Other),
        ] {
            assert_eq!(Provider::of_issuer(issuer), provider, "{issuer}");
        }
    }

    #[test]
    fn every_provider_is_found_by_its_key() {
        for provider in Provider::ALL {
            assert_eq!(Provider::of_key(provider.key()), Some(provider));
        }
        assert_eq!(Provider::of_key(""), None);
    }
}

"""Finds the endpoint of an AWS service, and the proxy for an endpoint.

On Lambda, botocore's slow modules are imported only for unusual configurations.
"""

import os
import re
from urllib.parse import SplitResult, urlsplit

from chalicelib.config import SettingsError, in_lambda

_DNS_SUFFIXES = {
    "amazonaws.com": re.compile(r"(?!cn-|eusc-)[a-z]{2}(-gov)?-[a-z]+-\d+"),
    "amazonaws.com.cn": re.compile(r"cn-[a-z]+-\d+"),
}
"""Patterns of region names, by DNS suffix. botocore finds the endpoints in other partitions."""

_OTHER_ENDPOINTS = (
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
"""Environment variables that may select other endpoints."""


def find_endpoint(service: str) -> tuple[str, str]:
    """Return the URL and region of a service."""
    region = os.environ.get("AWS_DEFAULT_REGION", "")
    if region and not any(os.environ.get(name) for name in _OTHER_ENDPOINTS):
        for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
            if url := os.environ.get(name):
                return url, region
        for suffix, pattern in _DNS_SUFFIXES.items():
            # Outside Lambda, botocore is needed: an AWS profile may specify a different endpoint.
            if in_lambda() and pattern.fullmatch(region):
                return f"https://{service}.{region}.{suffix}", region
    from botocore.session import Session  # noqa: PLC0415  slow to import

    client = Session().create_client(service)
    return client.meta.endpoint_url, client.meta.region_name


def find_proxy(endpoint: str) -> tuple[SplitResult | None, dict[str, str]]:
    """Return the URL of the proxy for an endpoint, if there is one, and the headers for the proxy.

    Raises:
        SettingsError: the URL of the proxy does not begin with ``http://``.
    """
    # Outside Lambda, botocore is always needed: the operating system may also specify a proxy.
    if in_lambda() and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None, {}
    from botocore.httpsession import ProxyConfiguration  # noqa: PLC0415  slow to import
    from botocore.utils import get_environ_proxies  # noqa: PLC0415  slow to import

    proxies = ProxyConfiguration(get_environ_proxies(endpoint))
    proxy = proxies.proxy_url_for(endpoint)
    if not proxy:
        return None, {}
    if not proxy.startswith("http://"):
        raise SettingsError(
            "HTTPS_PROXY and HTTP_PROXY must be http:// URLs. Traffic to AWS is still encrypted "
            "end to end through an http:// proxy."
        )
    return urlsplit(proxy), proxies.proxy_headers_for(proxy)

"""`python -m services.gateway`."""

from chassis.service import main
from services.gateway.app import build

main(build)

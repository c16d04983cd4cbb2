from chassis.service import main
from services.billing.app import build

main(build)

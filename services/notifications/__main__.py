from chassis.service import main
from services.notifications.app import build

main(build)

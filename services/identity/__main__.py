from chassis.service import main

from .app import build

main(build)

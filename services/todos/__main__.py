from chassis.service import main
from services.todos.app import build

main(build)

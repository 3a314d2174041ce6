import "./board";
import "./home";
